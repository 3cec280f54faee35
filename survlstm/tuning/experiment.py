"""Write an experiment file that composes to the same config as a list of overrides."""

from __future__ import annotations

from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from survlstm.config.conf_dir import conf_dir
from survlstm.config.overrides import search_path
from survlstm.tuning.config import TuneConfig
from survlstm.utils.shell import format_command


def experiment_yaml(lines: list[str], *, about: str) -> str:
    """Return the experiment file: the choice of every group, and every value that differs from the chosen files.

    Values are taken before interpolation, so that a value that follows another key (``T_max: ${trainer.epochs}``)
    continues to follow it. An experiment among the overrides is resolved, so that the file needs no other one.

    Args:
        lines: The overrides.
        about: A comment for the file.

    Returns:
        The text of the file, for a folder ``experiment`` of a Hydra config folder.
    """
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        asked = compose("train", overrides=lines, return_hydra_config=True)
        choices = {
            str(group): choice
            for group, choice in asked.hydra.runtime.choices.items()
            if not str(group).startswith("hydra/") and group != "experiment"
        }
        chosen = compose(
            "train", overrides=[*search_path(lines), *(f"{group}={choice}" for group, choice in choices.items())]
        )
    values = _differing(_plain(chosen), _plain(asked))
    content = {"defaults": [{f"override /{group}": choice} for group, choice in choices.items()], **values}
    # The package directive comes first, because Hydra reads it from the first comment.
    return f"# @package _global_\n# {about}\n{OmegaConf.to_yaml(OmegaConf.create(content))}"


def train_command(config: TuneConfig) -> str:
    """Return the command that trains and evaluates the best trial of a search by its experiment file.

    Args:
        config: The config of the search.

    Returns:
        The command line, quoted for a shell, with the study's folder as ``--config-dir``.
    """
    added = search_path(config.base)
    return format_command("train", f"experiment={config.name}", *added, "--config-dir", str(config.folder))


def _plain(composed: DictConfig) -> dict[str, Any]:
    values = OmegaConf.to_container(composed, resolve=False)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items() if key != "hydra"}


def _differing(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in now.items():
        if isinstance(value, dict) and isinstance(before.get(key), dict):
            inner = _differing(before[key], value)
            if inner:
                found[key] = inner
        elif key not in before or before[key] != value:
            found[key] = value
    return found
