"""The hyperparameter search: a TuneConfig → a study of many runs, its table, pictures and best experiment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hydra.core.global_hydra import GlobalHydra

from survlstm.tuning.config import TuneConfig
from survlstm.utils.errors import ConfigError

if TYPE_CHECKING:
    from survlstm.tuning.trial import RunTrial

__all__ = ["TuneConfig", "tune"]


def tune(config: TuneConfig, run_trial: RunTrial | None = None) -> None:
    """Search until ``config.trials`` are done, by this worker and all others on the same study.

    ``run_trial`` trains one trial; by default ``survlstm.tuning.trial.train_trial``. ConfigError where the extra
    ``tune`` is not installed, the space is none, or the storage can't be used; Interrupted where a signal ended it.
    """
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise ConfigError("survlstm tune needs the extra tune: pip install 'survlstm[tune]'") from error
    from survlstm.tuning.search import search
    from survlstm.tuning.trial import train_trial

    with _composing_again():
        search(config, run_trial or train_trial)


@contextmanager
def _composing_again() -> Iterator[None]:
    """A search composes the configs of its trials, which hydra refuses inside a job of its own."""
    job = GlobalHydra.instance().hydra
    GlobalHydra.instance().hydra = None
    try:
        yield
    finally:
        # Composing has put another instance there.
        GlobalHydra.instance().hydra = job
