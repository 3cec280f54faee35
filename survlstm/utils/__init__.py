"""Shared building blocks that belong to no room: errors, files, logging."""
