"""The names of the commands, what each does, and the usage text."""

from __future__ import annotations

from survlstm.utils.version import __version__

# In the order of the usage text; each is a module of survlstm.cli.
SUMMARIES = {
    "train": "train and evaluate one model, resume a run, or run a sweep",
    "evaluate": "evaluate a finished run again, or on another cohort",
    "compare": "compare finished runs on the test subjects that they share",
    "tune": "search hyperparameters; the same command resumes the search",
    "summarize": "table, best run and figures of a sweep, also while it runs",
    "runs": "list the runs below a folder",
    "rerun": "repeat a run and check that its history is identical",
    "export": "write a trained model with everything needed to use it",
    "predict": "predict risk and survival of every subject of an export",
    "plot": "draw survival curves",
    "explain": "find the codes that move the predicted hazard",
    "serve": "serve predictions over HTTP, with a page to try them",
    "simulate": "write a simulated cohort as Synthea CSV",
    "convert": "write the records of any source as a MEDS dataset",
}
COMMANDS = tuple(SUMMARIES)
HELP_FLAGS = frozenset({"-h", "--help"})
VERSION_FLAG = "--version"
VERSION = f"survlstm {__version__}\n"

_LINES = "\n".join(f"survlstm {command:<10} {summary}" for command, summary in SUMMARIES.items())
USAGE = f"""survlstm {__version__}: discrete-time survival models on longitudinal health records

{_LINES}

survlstm COMMAND --help shows the keys of a command with their defaults, and
examples; survlstm train --cfg job shows the composed config.
"""
