"""The columns of ``survlstm runs``, by which it sorts; read by the help and the completion without pandas."""

COLUMNS = (
    "run",
    "state",
    "data",
    "outcome",
    "model",
    "val.nll",
    "val.c_td",
    "test.c_td",
    "test.nll",
    "epochs",
    "seconds",
    "cost",
    "started",
)
