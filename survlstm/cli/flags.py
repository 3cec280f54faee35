"""Explain words that look like flags but are none: most of them mean a key of the config."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from survlstm.cli.command_help import HELP
from survlstm.cli.config_keys import load_schema
from survlstm.config.compose import compose_unresolved
from survlstm.config.overrides import find_unknown_flag
from survlstm.config.validation import nearest_key, schema_keys
from survlstm.utils.errors import ConfigError
from survlstm.utils.nested import flatten

# A flag of Hydra that has no effect, and the key of several commands.
RUN_FLAG = "--run"
MOST_NAMED = 3


def refuse_unknown_flags(command: str, arguments: Sequence[str]) -> None:
    """Raise ConfigError if a command gets a flag that does not exist, such as ``--epochs 3``.

    Args:
        command: The name of the command.
        arguments: The arguments after it.

    Raises:
        ConfigError: A flag does not exist; the message names the override that the flag most likely means, with the
            value that was written. Or a flag lacks its value.
    """
    if command not in HELP:
        # argparse refuses them.
        return
    schema = load_schema(HELP[command].schema)
    written = next((word for word in arguments if word.partition("=")[0] == RUN_FLAG), None)
    flag = RUN_FLAG if written and "run" in schema.model_fields else find_unknown_flag(arguments)
    if flag is None:
        return
    defaults = flatten(compose_unresolved(command, []).values)
    name = flag.lstrip("-").replace("-", "_")
    keys = _keys_named(name, [*schema.model_fields, *defaults, *sorted(schema_keys(schema))])
    # No message may show the id of a subject.
    value = None if "subject" in name else _written_value(flag, arguments)
    hints = [_override(key, value, defaults.get(key)) for key in keys[:MOST_NAMED]]
    example = f": {' or '.join(hints)}" if hints else f"; survlstm {command} --help lists the keys"
    raise ConfigError(f"there is no flag {flag}; values are written key=value{example}")


def _keys_named(name: str, known: Sequence[str]) -> list[str]:
    """Return the key of that name, else those with that last part, else the one with the nearest spelling."""
    if name in known:
        return [name]
    same_last = [key for key in dict.fromkeys(known) if key.rpartition(".")[2] == name]
    nearest = nearest_key(name, list(known))
    return same_last or ([nearest] if nearest else [])


def _override(key: str, written: str | None, default: Any) -> str:
    if written is None:
        return f"{key}=true" if isinstance(default, bool) else f"{key}=VALUE"
    return shlex.quote(f"{key}={written}")


def _written_value(flag: str, arguments: Sequence[str]) -> str | None:
    """Return the value of ``--flag=value`` or ``--flag value``; None if no value is written."""
    for word, following in zip(arguments, [*arguments[1:], None], strict=True):
        if word.startswith(f"{flag}="):
            return word.partition("=")[2]
        if word == flag:
            # A word with = is more likely the next override.
            return None if following is None or following.startswith("--") or "=" in following else following
    return None
