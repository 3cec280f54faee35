"""Command line: parse the words of a command, compose its config and start it."""
