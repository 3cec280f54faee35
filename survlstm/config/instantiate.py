"""Instantiate the class that a validated config section names, one of survlstm's or the user's own."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from survlstm.config.schema.foreign import ForeignConfig
from survlstm.config.schema.section import SwapPoint
from survlstm.utils.errors import ConfigError, SurvlstmError, first_line


def instantiate(config: SwapPoint, **arguments: Any) -> Any:
    """Return an object of the class that the section's ``_target_`` names.

    ``hydra.utils.instantiate`` is not used: it would resolve ``${...}`` in the section's texts once more.

    Args:
        config: A validated section.
        **arguments: Values known at run time, such as sizes; they replace settings of the same name.

    Returns:
        The object.

    Raises:
        ClosedClassError: Only a stored file names the class.
        ConfigError: The class can't be imported, or its constructor fails.
    """
    if isinstance(config, ForeignConfig):
        return _instantiate_foreign(config, arguments)
    module, _, name = config.settings()["_target_"].rpartition(".")
    return getattr(import_module(module), name)(**(config.arguments() | arguments))


def _instantiate_foreign(config: ForeignConfig, arguments: dict[str, Any]) -> Any:
    found, settings = config.load()
    try:
        return found(**settings, **arguments)
    except SurvlstmError:
        raise
    # Somebody else's constructor may raise anything.
    except Exception as error:
        raise ConfigError(
            f"{config.section} must be an object that can be made; {config.target} raised "
            f"{first_line(error, with_type=True)}"
        ) from error
