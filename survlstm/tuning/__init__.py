"""Hyperparameter search with Optuna: a study of many runs, chosen by validation metrics only."""

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
    """Run trials until ``config.trials`` are done, together with other workers of the same study.

    Args:
        config: The validated config of ``survlstm tune``.
        run_trial: Trains one trial; ``survlstm.tuning.trial.train_trial`` by default.

    Raises:
        ConfigError: If the extra ``tune`` is not installed, the search space is invalid, or the storage can't be used.
        Interrupted: If a signal ended the search.
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
    """Allow configs to be composed inside a Hydra job, which Hydra itself refuses."""
    job = GlobalHydra.instance().hydra
    GlobalHydra.instance().hydra = None
    try:
        yield
    finally:
        # Composing replaces the global instance.
        GlobalHydra.instance().hydra = job
