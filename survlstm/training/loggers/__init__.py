"""The course of a run → a service that shows it beside others: TensorBoard or MLflow, where asked for."""
