"""survlstm: discrete-time survival models on longitudinal health records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from survlstm.utils.version import __version__

if TYPE_CHECKING:
    from survlstm.inference.predictor import Predictor, load_bundle

__all__ = ["Predictor", "__version__", "load_bundle"]


def __getattr__(name: str) -> Any:
    # Importing the predictor imports torch, which takes seconds that commands such as --help need not wait for.
    if name in {"Predictor", "load_bundle"}:
        from survlstm.inference import predictor

        return getattr(predictor, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
