"""A search's config → its study, new or gone on with, with the sampler and the pruner that belong to it."""

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
    """The study, for as long as the block lasts; ConfigError where it is another search's, or its storage is broken."""
    with _optuna_speaks_through(log):
        _refuse_anothers_folder(config)
        with ExitStack() as stack:
            # Two workers that begin together must not both make the tables.
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
    # optuna and a driver raise anything where the content is not what they wrote.
    except Exception as error:
        raise storage_error(config.storage, config.folder, error) from error


def make_sampler(config: TuneConfig, slot: int) -> TPESampler:
    """TPE over all dimensions together, seeded by the place: resumed or shared, each place has numbers of its own.

    The constant liar takes a running trial for a bad one, so that workers don't all try the same corner.
    """
    seed = int(np.random.SeedSequence([config.seed, slot]).generate_state(1)[0])
    with warnings.catch_warnings():
        # Both arguments were experimental before optuna 5, where they have become the defaults.
        warnings.simplefilter("ignore", ExperimentalWarning)
        return TPESampler(n_startup_trials=config.startup_trials, multivariate=True, constant_liar=True, seed=seed)


def make_pruner(config: TuneConfig) -> BasePruner:
    """A trial ends when its best so far is worse than the median of the complete trials at the same epoch.

    Not Hyperband: its brackets want hundreds of trials, give some configs a handful of epochs only, and depend on the
    number of a trial, which is another one in a search that was resumed.
    """
    if config.pruner is None:
        return NopPruner()
    # Epochs count from 1; the one after the warm-up is the first that may end a trial.
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
                f"name must be new, or that of a search begun by survlstm tune; the study {config.name} in the storage "
                "is another program's. Set another name"
            )
        study.set_user_attr("search", identity)
    search = study.user_attrs["search"]
    fault = find_fault(search, allow_interpolations=True)
    if fault:
        raise ConfigError(f"storage must say what the search {config.name} is; it does not: {fault}. Set another name")
    differences = compare_configs(search, identity)
    if differences:
        raise ConfigError(
            f"a search goes on with the config it began with; in {config.name} these are others: "
            f"{'; '.join(map(str, differences))}. Give the old ones back, or set another name"
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
    """Where the storage was lost, new trials would meet the runs of old ones in their folders."""
    left = sorted(path for path in (config.folder / "trials").glob("[0-9]*") if any(path.glob("[!.]*")))
    if left:
        where = "its journal" if config.storage is None else mask_password(config.storage)
        raise ConfigError(
            f"a search that begins must have a folder without trials; {config.folder} holds {len(left)}, and {where} "
            f"knows nothing of them. Give the old storage back, or set another name"
        )


@contextmanager
def _optuna_speaks_through(own: logging.Logger) -> Iterator[None]:
    """optuna's warnings among our lines, and nothing of it on stderr."""
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
