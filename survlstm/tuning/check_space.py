"""Check before the first trial that every config of the search space composes and validates."""

from __future__ import annotations

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from survlstm.config.compose import check_overrides
from survlstm.config.schema.run import RunConfig
from survlstm.tuning.config import TuneConfig
from survlstm.tuning.space import overrides
from survlstm.utils.errors import ConfigError

# Keys that the search sets for each trial.
ITS_OWN = ("output_dir", "resume", "trainer.dry_run", "trainer.distributed")


def check_trials(config: TuneConfig) -> None:
    """Raise ConfigError, with the nearest valid key, if a trial would be refused later.

    All ranges are tried at their low ends together and at their high ends together, and every choice once.

    Args:
        config: The config of the search, with ``base`` as the command has it.
    """
    keys = [_key(line) for line in config.base]
    for key in (*keys, *config.space):
        if key in ITS_OWN:
            raise ConfigError(f"{key} is set by the search; leave it out of base and space")
    twice = [key for key in keys if key in config.space]
    if twice:
        raise ConfigError(f"a key must be in base or in space, not in both; found {', '.join(twice)}")
    compose_base(config.base)
    ends = {key: dimension.ends() for key, dimension in config.space.items()}
    for place in range(max(len(values) for values in ends.values())):
        lines = overrides({key: values[min(place, len(values) - 1)] for key, values in ends.items()})
        try:
            check_overrides("train", [*config.base, *lines], RunConfig)
        except ConfigError as error:
            raise ConfigError(f"space must hold what survlstm train takes; with {' '.join(lines)}: {error}") from error


def compose_base(base: list[str]) -> RunConfig:
    """Return the config of a run without the searched keys.

    Args:
        base: Overrides of ``survlstm train`` that all trials share.

    Returns:
        The validated config; the searched keys have the values of the config files.

    Raises:
        ConfigError: If the overrides do not compose or are not valid, or ask for several processes, for a dry run or
            for an encoder alone.
    """
    (config,) = check_overrides("train", base, RunConfig)
    if config.trainer.distributed or config.trainer.dry_run:
        raise ConfigError("a trial must be a run of one process; found trainer.distributed or trainer.dry_run in base")
    if config.trainer.auxiliary.only:
        raise ConfigError(
            "a trial must be trained on its outcome, because a search compares the loss of the outcome; found "
            "trainer.auxiliary.only=true in base. Leave it out"
        )
    return config


def _key(line: str) -> str:
    """Return the key of an override of ``base``; raise ConfigError for a flag, a key of Hydra's or a sweep."""
    if line.startswith("-") or "=" not in line:
        raise ConfigError(f"base must hold overrides of survlstm train, key=value; found {line!r}")
    key = line.lstrip("+~").split("=")[0].split("@")[0]
    if key.startswith(("hydra.", "hydra/")) and key != "hydra.searchpath":
        raise ConfigError(f"base must hold overrides of survlstm train, not of Hydra; found {line!r}")
    try:
        is_sweep = OverridesParser.create().parse_override(line).is_sweep_override()
    except (HydraException, ValueError):
        # Composing it raises the error that explains what is wrong.
        return key
    if is_sweep:
        raise ConfigError(f"base must hold one value for each key; found {line!r}. Put varying keys in space")
    return key
