"""survlstm: discrete-time survival models on longitudinal health records."""

__version__ = "0.1.0"
