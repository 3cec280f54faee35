"""Errors, files, logging and text that every part of the package uses."""
