"""survlstm: discrete-time survival models on longitudinal health records.

- ``train``, ``evaluate``, ``compare`` and ``prepare`` do what the commands of the same names do; ``prepare`` returns
  datasets for a training loop of your own.
- ``load_run``, ``load_evaluation`` and ``load_bundle`` read what was written before.
- ``survival`` is a library of its own: the loss and the metrics, on arrays.
- Every error that a user can correct is a ``SurvlstmError``.

``docs/python.md`` shows examples.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from survlstm.utils.errors import SurvlstmError
from survlstm.utils.version import __version__

if TYPE_CHECKING:
    from survlstm import survival
    from survlstm.api.evaluation import RunComparison, compare, evaluate
    from survlstm.api.prepared import PreparedCohort, SubjectDataset, prepare
    from survlstm.api.results import Evaluation, load_evaluation
    from survlstm.api.run import Run, load_run
    from survlstm.api.training import train
    from survlstm.inference.predictor import Predictor, load_bundle

__all__ = [
    "Evaluation",
    "Predictor",
    "PreparedCohort",
    "Run",
    "RunComparison",
    "SubjectDataset",
    "SurvlstmError",
    "__version__",
    "compare",
    "evaluate",
    "load_bundle",
    "load_evaluation",
    "load_run",
    "prepare",
    "survival",
    "train",
]

# Imported when they are asked for: they import torch, which takes seconds that commands such as --help need not wait
# for.
_MODULES = {
    "Evaluation": "api.results",
    "Predictor": "inference.predictor",
    "PreparedCohort": "api.prepared",
    "Run": "api.run",
    "RunComparison": "api.evaluation",
    "SubjectDataset": "api.prepared",
    "compare": "api.evaluation",
    "evaluate": "api.evaluation",
    "load_bundle": "inference.predictor",
    "load_evaluation": "api.results",
    "load_run": "api.run",
    "prepare": "api.prepared",
    "train": "api.training",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"survlstm.{_MODULES[name]}"), name)
    if name == "survival":
        return import_module("survlstm.survival")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
