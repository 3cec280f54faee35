"""Create or resume a study, with its sampler and its pruner."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.samplers import TPESampler
from optuna.storages import BaseStorage

from survlstm.runs.resume import compare_configs
from survlstm.tuning.config import TuneConfig
from survlstm.tuning.storage import mask_password, open_storage, storage_error, storage_location
from survlstm.tuning.study_checks import check_study
from survlstm.utils.errors import ConfigError, SurvlstmError
from survlstm.utils.files import file_lock
from survlstm.utils.stored_files import find_fault, read_json

log = logging.getLogger(__name__)

RECORD = "study.json"


@contextmanager
def open_study(config: TuneConfig) -> Iterator[optuna.Study]:
    """Open the study of a config for the duration of the block.

    Args:
        config: The config of the search.

    Yields:
        The study, which is created if the storage does not hold it. While the block runs, Optuna's warnings go to the
        log.

    Raises:
        ConfigError: If the study belongs to another search, or its storage is damaged.
    """
    with _optuna_speaks_through(log):
        _refuse_anothers_folder(config)
        with ExitStack() as stack:
            # Two workers that start together must not both create the tables.
            with file_lock(config.folder / ".claims"):
                storage = stack.enter_context(open_storage(config.storage, config.folder))
                study = _soundly(config, storage)
            yield study


def _soundly(config: TuneConfig, storage: BaseStorage) -> optuna.Study:
    try:
        study = _study(config, storage)
        check_study(study.get_trials(deepcopy=False), config, storage_location(config.storage, config.folder))
        return study
    except SurvlstmError:
        raise
    # Optuna and drivers raise errors of any type if the content is not what they wrote.
    except Exception as error:
        raise storage_error(config.storage, config.folder, error) from error


def make_sampler(config: TuneConfig, slot: int) -> TPESampler:
    """Make a multivariate TPE sampler seeded by the trial's index.

    Each index has random numbers of its own, so that a resumed or shared search draws the same values. With the
    constant liar a running trial counts as a bad one, so that workers explore different regions.

    Args:
        config: The config of the search; its seed and its number of random trials are used.
        slot: Index of the trial, from 0.

    Returns:
        The sampler.
    """
    seed = int(np.random.SeedSequence([config.seed, slot]).generate_state(1)[0])
    with warnings.catch_warnings():
        # Both arguments are experimental before Optuna 5, where they became the defaults.
        warnings.simplefilter("ignore", ExperimentalWarning)
        return TPESampler(n_startup_trials=config.startup_trials, multivariate=True, constant_liar=True, seed=seed)


def make_pruner(config: TuneConfig) -> BasePruner:
    """Make a pruner that ends a trial whose best value so far is worse than the median at the same epoch.

    Hyperband is not used: its brackets need hundreds of trials, train some configs for a few epochs only, and depend on
    the trial number, which differs in a resumed search.

    Args:
        config: The config of the search.

    Returns:
        The pruner; one that never ends a trial if ``config.pruner`` is None.
    """
    if config.pruner is None:
        return NopPruner()
    # Epochs count from 1; the first one after the warm-up may end a trial.
    return MedianPruner(n_startup_trials=config.pruner.startup_trials, n_warmup_steps=config.pruner.warmup_epochs + 1)


def _study(config: TuneConfig, storage: BaseStorage) -> optuna.Study:
    study = optuna.create_study(
        storage=storage,
        study_name=config.name,
        direction="maximize" if config.maximised else "minimize",
        sampler=make_sampler(config, 0),
        pruner=make_pruner(config),
        load_if_exists=True,
    )
    identity = config.identity()
    has_trials = bool(study.get_trials(deepcopy=False))
    if "search" not in study.user_attrs:
        if has_trials:
            raise ConfigError(
                f"name must be new, or that of a search started by survlstm tune; the study {config.name} in the "
                "storage belongs to another program. Set another name"
            )
        study.set_user_attr("search", identity)
    search = study.user_attrs["search"]
    fault = find_fault(search, allow_interpolations=True)
    if fault:
        raise ConfigError(f"storage must say what the search {config.name} is; it does not: {fault}. Set another name")
    differences = compare_configs(search, identity)
    if differences:
        raise ConfigError(
            f"a search must be resumed with the config it was started with; {config.name} was started with others: "
            f"{'; '.join(map(str, differences))}. Restore these values, or set another name"
        )
    if not has_trials:
        _refuse_trials_of_no_study(config)
    return study


def _refuse_anothers_folder(config: TuneConfig) -> None:
    try:
        found = read_json(config.folder / RECORD)["name"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    if found != config.name:
        raise ConfigError(
            f"output_dir must be a new folder, or that of the search {config.name}; {config.folder} holds the search "
            f"{str(found)[:100]}. Set another output_dir"
        )


def _refuse_trials_of_no_study(config: TuneConfig) -> None:
    """Refuse a folder whose storage was lost: new trials would find the runs of old ones in their folders."""
    left = sorted(path for path in (config.folder / "trials").glob("[0-9]*") if any(path.glob("[!.]*")))
    if left:
        where = "its journal" if config.storage is None else mask_password(config.storage)
        raise ConfigError(
            f"a new search needs a folder without trials; {config.folder} holds {len(left)} that {where} does not "
            "know. Restore the old storage, or set another name"
        )


@contextmanager
def _optuna_speaks_through(own: logging.Logger) -> Iterator[None]:
    """Forward Optuna's warnings to our log, and nothing of it to stderr."""
    theirs = logging.getLogger("optuna")
    handlers, level = theirs.handlers[:], theirs.level
    forward = _Forward(own)
    theirs.handlers[:] = [forward]
    theirs.setLevel(logging.WARNING)
    try:
        yield
    finally:
        theirs.handlers[:] = handlers
        theirs.setLevel(level)


class _Forward(logging.Handler):
    def __init__(self, own: logging.Logger) -> None:
        super().__init__()
        self._own = own

    def emit(self, record: logging.LogRecord) -> None:
        self._own.log(record.levelno, "optuna: %s", record.getMessage())
