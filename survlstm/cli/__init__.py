"""Command line: dispatch a command, compose and validate its config, and run it."""
