"""Hydra multirun: start the jobs of a sweep, load their runs, choose a winner on validation and write the summary."""
