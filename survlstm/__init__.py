"""survlstm: discrete-time survival models on longitudinal health records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from survlstm.scoring.predictor import Predictor, load_bundle

__version__ = "0.1.0"
__all__ = ["Predictor", "load_bundle"]


def __getattr__(name: str) -> Any:
    # torch comes with it: seconds that the command need not wait for.
    if name in __all__:
        from survlstm.scoring import predictor  # noqa: PLC0415

        return getattr(predictor, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
