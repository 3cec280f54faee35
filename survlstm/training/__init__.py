"""Train a model: optimizer steps, checkpoints, early stopping, several processes and loggers."""
