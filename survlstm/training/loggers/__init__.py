"""Log a run to TensorBoard or MLflow."""
