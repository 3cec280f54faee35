"""Resume a run: its config, its last saved state, and which changes of the config are allowed."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.override_parser.overrides_parser import OverridesParser

from survlstm.config.class_loader import named_classes
from survlstm.config.compose import compose_values
from survlstm.config.overrides import search_path
from survlstm.config.schema.run import RunConfig
from survlstm.config.schema.training import MLflowConfig
from survlstm.config.validation import validate_stored
from survlstm.runs.folder import LOCK, holds_a_run, is_finished
from survlstm.training.checkpoint import LatestState, load_latest, remove_unfinished
from survlstm.training.loggers.mlflow_logger import refuse_unnamed_server
from survlstm.training.saved_state import check_state
from survlstm.utils.errors import CheckpointError, ConfigError, first_line
from survlstm.utils.files import file_lock
from survlstm.utils.nested import flatten, unflatten
from survlstm.utils.shell import format_command
from survlstm.utils.stored_files import find_fault, read_yaml

log = logging.getLogger(__name__)

# Keys whose change leaves the results so far the same. Changes of all other keys are refused.
SAME_RESULT = frozenset(
    {
        "trainer.epochs",
        "trainer.early_stopping.patience",
        "trainer.checkpoint",
        "trainer.cost_per_hour",
        "trainer.budget",
        "trainer.on_oom",
        "trainer.dry_run",
        "evaluation",
        "logger",
        "cache_dir",
        "output_dir",
        "resume",
        "verbose",
    }
)
ROUNDING = frozenset({"trainer.device", "trainer.distributed", "trainer.micro_batch_size"})
NOT_THERE = "(not there)"
# Time to wait for the lock of a run. A process that only checks the lock holds it for a moment.
LOCK_SECONDS = 0.7
# Longest value that a message shows, in characters.
MOST_SHOWN = 500


class ConfigDifference(NamedTuple):
    """A config key whose value differs from the one that the run was started with."""

    key: str
    before: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.key}: {_written(self.before)} → {_written(self.now)}"


def resumed_config(folder: Path, overrides: list[str]) -> RunConfig:
    """Return the config of the run in ``folder`` with the given overrides applied.

    Args:
        folder: The folder of the run to resume.
        overrides: Overrides as ``survlstm.config.overrides.compose_overrides`` returns them.

    Returns:
        The config that the run was started with, and the values that the overrides change.

    Raises:
        ConfigError: If the folder is not that of a run, the result is invalid, or the user's MLflow credentials would
            go to a server that only the run's config names.
        CheckpointError: If the checkpoints are damaged, or there are none and ``config.yaml`` can't be used.
    """
    if not holds_a_run(folder):
        raise ConfigError(f"resume must be the folder of a run that was stopped; {folder} is not the folder of a run")
    recorded = flatten(_recorded(folder, _latest(folder)))
    composed = compose_values("train", overrides)
    asked, default = flatten(composed), flatten(compose_values("train", search_path(overrides)))
    parser = OverridesParser.create()
    named = [str(parser.parse_override(line).key_or_group).split("@")[0].replace("/", ".") for line in overrides]
    values = dict(recorded)
    for key, value in asked.items():
        if value != default.get(key, NOT_THERE) or any(_is_under(key, name) for name in named):
            values[key] = value
    # Keys that another choice of a group does not have.
    gone = [key for key in values if key not in asked and any(_is_under(key, name) for name in named)]
    for key in {*gone, *(default.keys() - asked.keys())}:
        values.pop(key, None)
    if asked.get("trainer.dry_run"):
        raise ConfigError(
            "trainer.dry_run estimates a new run; with resume it would be ignored. Leave it out, or leave out resume"
        )
    values |= {"resume": str(folder), "output_dir": str(folder), "trainer.dry_run": False}
    # Classes that the command itself names, by allow or by its own config, may be imported.
    allow = [*composed.get("allow", ()), *named_classes(composed)]
    config = validate_stored(unflatten(values), RunConfig, allow=allow)
    config.load_classes()
    if not any(_is_under(name, "logger") for name in named):
        _refuse_unnamed_server(config, folder, "Add logger.store=ADDRESS, or logger=none")
    return config


def recorded_config(folder: Path, *, allow: Sequence[str] = ()) -> RunConfig:
    """Return the config that the run in ``folder`` was started with.

    Args:
        folder: The run folder.
        allow: Dotted names of classes outside survlstm that may be imported although only the run names them.

    Returns:
        The config of the last checkpoint; that of ``config.yaml`` if the run has no checkpoint.

    Raises:
        ConfigError: If the config is not valid any more, or the user's MLflow credentials would go to a server that
            only the run's config names.
        CheckpointError: If the checkpoints are damaged, or there are none and ``config.yaml`` can't be used.
    """
    config = validate_stored(_recorded(folder, _latest(folder)), RunConfig, allow=allow)
    config.load_classes()
    _refuse_unnamed_server(config, folder, "Set MLFLOW_TRACKING_URI to that address if it is yours")
    return config


def _refuse_unnamed_server(config: RunConfig, folder: Path, advice: str) -> None:
    if isinstance(config.logger, MLflowConfig):
        refuse_unnamed_server(config.logger.store, file=f"the run in {folder}", advice=advice)


def state_to_go_on_from(folder: Path, config: RunConfig) -> dict[str, Any] | None:
    """Return the last complete state of the run in ``folder``.

    Differences to the config that the run was started with are logged. Temporary files of a killed process are removed,
    and damaged checkpoints are renamed.

    Args:
        folder: The run folder, locked by this process.
        config: The config to go on with.

    Returns:
        The content of the checkpoint; None if the run stopped before its first checkpoint.

    Raises:
        ConfigError: If a difference would have changed the results so far, or if nothing is left to train.
        CheckpointError: If the run has no usable checkpoint.
    """
    latest = _latest(folder)
    if latest.state is None:
        # Nothing was computed yet, so any config may be used.
        log.info("The run in %s ended before its first checkpoint: it starts from the beginning", folder)
        return None
    differences = changes_since(_recorded(folder, latest), config)
    refused = [each for each in differences if not _is_among(each.key, SAME_RESULT | ROUNDING)]
    if refused:
        raise ConfigError(
            f"a run must be resumed with the config it was started with; in {folder} the result would change with "
            f"{'; '.join(map(str, refused))}. Leave that out, or set another output_dir to train anew"
        )
    for each in differences:
        log.info("Changed since the run was started: %s", each)
    _refuse_done(folder, config, latest.state)
    remove_unfinished(folder, latest.damaged)
    log.info("Resuming the run in %s: %s", folder, latest.message)
    return latest.state


def changes_since(before: dict[str, Any], config: RunConfig) -> list[ConfigDifference]:
    """Compare a stored config with a present one.

    A key that the stored config lacks is new since the version of survlstm that wrote it. Its default gives the results
    of that version, so that it counts as a change only if it has another value.

    Args:
        before: The nested values of the config that a run was started with.
        config: The present config.

    Returns:
        The differences, as ``compare_configs`` returns them.
    """
    chosen = flatten(config.model_dump(by_alias=True, exclude_defaults=True))
    found = compare_configs(before, config.model_dump(by_alias=True))
    return [each for each in found if each.before != NOT_THERE or each.key in chosen]


def compare_configs(before: dict[str, Any], now: dict[str, Any]) -> list[ConfigDifference]:
    """Compare the values of two configs; ``output_dir`` and ``resume`` are left out.

    Args:
        before: The nested values of the config that the run was started with.
        now: The nested values of the present config.

    Returns:
        Every key whose value differs, in the order of the present config; a value that one of the two lacks is
        ``NOT_THERE``.
    """
    old, new = flatten(before), flatten(now)
    keys = [*new, *(key for key in old if key not in new)]
    found = [ConfigDifference(key, old.get(key, NOT_THERE), new.get(key, NOT_THERE)) for key in keys]
    return [each for each in found if each.before != each.now and each.key not in {"output_dir", "resume"}]


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Create a run's folder if it is missing, and lock it for this process until the block ends.

    Args:
        folder: The run folder. If its file system has no locks, a warning is logged and the block runs without one.

    Raises:
        ConfigError: If the folder can't be written, or another process holds it.
    """
    with ExitStack() as stack:
        try:
            unavailable = stack.enter_context(file_lock(folder / LOCK, timeout=LOCK_SECONDS))
        except TimeoutError as error:
            raise ConfigError(
                f"another process is training in {folder}; wait for it, stop it, or set another output_dir"
            ) from error
        except OSError as error:
            raise ConfigError(
                f"a run's folder must be one that can be written; {folder} is not: {error}. Give it back, or set "
                "another output_dir"
            ) from error
        if unavailable is not None:
            log.warning("%s has no locks (%s): see that no other process trains there", folder, unavailable)
        yield


def _latest(folder: Path) -> LatestState:
    latest = load_latest(folder / "checkpoints")
    if latest.state is not None:
        check_state(latest.state, f"the checkpoint in {folder}")
    return latest


def _recorded(folder: Path, latest: LatestState) -> dict[str, Any]:
    """Return the config that a run was started with, from its checkpoint: config.yaml may have been edited since."""
    if latest.state is not None:
        config: dict[str, Any] = latest.state["about"]["config"]
        fault = find_fault(config)
        if fault:
            raise CheckpointError(f"the config in the checkpoints of {folder} can't be used: {fault}. Train again")
        return config
    try:
        return validate_stored(read_yaml(folder / "config.yaml"), RunConfig, finished=True).model_dump(by_alias=True)
    except (OSError, ValueError, ConfigError) as error:
        raise CheckpointError(
            f"a run must hold its config.yaml or a checkpoint to go on from; {folder} has neither that can be used "
            f"({first_line(error)}). Train again in another folder"
        ) from error


def _refuse_done(folder: Path, config: RunConfig, state: dict[str, Any]) -> None:
    done, stopping = len(state["history"]["epochs"]), state["stopping"]
    patience = config.trainer.early_stopping.patience
    if config.trainer.epochs < done:
        raise ConfigError(f"trainer.epochs must be at least {done}, which are done; found {config.trainer.epochs}")
    if patience is not None and stopping["waited"] > patience:
        raise ConfigError(
            f"trainer.early_stopping.patience must be at least {stopping['waited']}, the epochs waited so far; "
            f"found {patience}"
        )
    is_over = config.trainer.epochs == done or stopping["waited"] == patience
    if is_over and is_finished(folder):
        raise ConfigError(
            f"the run in {folder} is finished ({done} epochs). {format_command('evaluate', f'run={folder}')} "
            f"evaluates it again, a larger trainer.epochs or trainer.early_stopping.patience continues it, another "
            "output_dir trains anew"
        )


def _is_under(key: str, section: str) -> bool:
    return key == section or key.startswith(f"{section}.")


def _is_among(key: str, sections: frozenset[str]) -> bool:
    return any(_is_under(key, section) for section in sections)


def _written(value: Any) -> str:
    said = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return said if len(said) <= MOST_SHOWN else f"{said[:MOST_SHOWN]}…"
