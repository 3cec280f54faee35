"""Convert nested settings to dotted keys and back."""

from __future__ import annotations

from typing import Any


def flatten(nested: dict[Any, Any], *, keep_empty: bool = False) -> dict[str, Any]:
    """Return each leaf of nested mappings by its dotted key, in the order of the mappings.

    Args:
        nested: Mappings within mappings. A list is a leaf.
        keep_empty: Whether an empty mapping is a leaf; otherwise it leaves no trace.

    Returns:
        The leaves, in the order in which the nested mappings hold them. A key that is not text is converted to text.

    Example:
        >>> flatten({"model": {"dropout": 0.1}, "seed": 7})
        {'model.dropout': 0.1, 'seed': 7}
    """
    leaves: dict[str, Any] = {}
    # No recursion: a damaged file may be nested more deeply than Python can follow. The last one is looked at next.
    waiting = [(str(name), value) for name, value in reversed(nested.items())]
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, dict) and (value or not keep_empty):
            waiting += [(f"{key}.{name}", item) for name, item in reversed(value.items())]
        else:
            leaves[key] = value
    return leaves


def unflatten(leaves: dict[str, Any]) -> dict[str, Any]:
    """Return the nested mappings of dotted keys, the reverse of ``flatten``.

    Args:
        leaves: Values by their dotted key. The later of ``a`` and ``a.b`` replaces the earlier one.

    Returns:
        The nested mappings, in the order in which the keys first appear.
    """
    nested: dict[str, Any] = {}
    for key, value in leaves.items():
        *above, last = key.split(".")
        section = nested
        for name in above:
            if not isinstance(section.get(name), dict):
                section[name] = {}
            section = section[name]
        section[last] = value
    return nested
