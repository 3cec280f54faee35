"""Instantiate the class that a validated config section names."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from survlstm.config.schema.section import SwapPoint


def instantiate(config: SwapPoint, **arguments: Any) -> Any:
    """Return an object of the class that the section's ``_target_`` names.

    ``hydra.utils.instantiate`` is not used: it would resolve ``${...}`` in the section's texts once more.

    Args:
        config: A validated section; its schema allows only known classes.
        **arguments: Values known at run time, such as sizes; they replace settings of the same name.

    Returns:
        The object.
    """
    settings = config.settings()
    module, _, name = settings.pop("_target_").rpartition(".")
    return getattr(import_module(module), name)(**(settings | arguments))
