"""Find the folder ``conf/`` with the config groups."""

from __future__ import annotations

from pathlib import Path

from survlstm.utils.errors import ConfigError


def conf_dir() -> Path:
    """Return the folder of the config groups: inside the package in a wheel, at the top of a checkout otherwise.

    Raises:
        ConfigError: The folder is in neither place, so the installation is incomplete.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "train.yaml").is_file():
            return folder
    raise ConfigError(f"the folder conf must be in {package} or beside it; found neither. Install survlstm again")
