"""Change bytes and plain values at random, as a damaged disk, an editor or an attacker may change a file."""

from __future__ import annotations

import copy
import random
from typing import Any

import torch

from survlstm.utils.errors import SurvlstmError

SEED = 20_261_128
SECRET = "SECRET-9b1d"
# An interpolation of OmegaConf. If it is resolved, the secret appears in a message.
LOOKED_UP = "${oc.env:SURVLSTM_FUZZ_SECRET}"
# In characters. A message may name some files, but must not contain the content of a file.
LONGEST_MESSAGE = 4000


def is_clear_error(error: BaseException) -> bool:
    """Assert that an error is one of survlstm's own, with a message that is short and without the secret.

    Returns:
        True, so that a test can count the errors.
    """
    message = str(error)
    assert isinstance(error, SurvlstmError), repr(error)
    assert message.strip()
    assert SECRET not in message
    assert len(message) < LONGEST_MESSAGE
    return True


def _deep(levels: int) -> Any:
    """Return a list that contains a list, and so on, for ``levels`` levels."""
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


# Values that replace others: of another type, out of range, or dangerous if they are evaluated.
ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1,
    3,
    2**31,
    2**70,
    0.5,
    1.5,
    -0.25,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "text",
    "x" * 3000,
    "1",
    "../../x",
    LOOKED_UP,
    f"a/{LOOKED_UP}",
    [],
    [[]],
    [1, "a", None],
    {},
    {"_target_": "os.system", "command": "true"},
    _deep(200),
    "\0\n\ud800"[:2],
)


def changed_bytes(content: bytes, dice: random.Random) -> bytes:
    """Return a copy with one change: a bit, a byte, a cut, a range of zeros, a repeated part, or inserted bytes."""
    start, length = dice.randrange(len(content)), dice.randint(1, max(1, len(content) // 4))
    kind = dice.randrange(6)
    if kind == 0:
        return content[:start] + bytes([content[start] ^ 1 << dice.randrange(8)]) + content[start + 1 :]
    if kind == 1:
        return content[:start] + bytes([dice.randrange(256)]) + content[start + 1 :]
    if kind == 2:
        return content[:start]
    if kind == 3:
        return content[:start] + bytes(min(length, len(content) - start)) + content[start + length :]
    if kind == 4:
        return content[: start + length] + content[start:]
    return content[:start] + dice.randbytes(min(length, 50)) + content[start:]


def changed_value(value: Any, dice: random.Random) -> Any:
    """Return a copy with one change: another value or tensor, a key removed, renamed or added, or an item repeated."""
    value = copy.deepcopy(value)
    holder, key = dice.choice(_places(value))
    if holder is None:
        return copy.deepcopy(dice.choice(ODD))
    item, kind = holder[key], dice.randrange(6)
    if isinstance(item, torch.Tensor) and kind:
        holder[key] = _other_tensor(item, dice)
    elif kind == 1:
        del holder[key]
    elif kind == 2 and isinstance(holder, dict):
        holder[f"{key}x"] = holder.pop(key)
    elif kind == 3 and isinstance(holder, dict):
        holder[dice.choice(["more", "_target_", "seed"])] = copy.deepcopy(dice.choice(ODD))
    elif kind == 3:
        holder.insert(key, copy.deepcopy(item))
    elif kind == 4 and isinstance(item, int | float) and not isinstance(item, bool):
        holder[key] = dice.choice([item + 1, -item, item * 1000, item / 3, str(item)])
    else:
        holder[key] = copy.deepcopy(dice.choice(ODD))
    return value


def _places(value: Any, holder: Any = None, key: Any = None) -> list[tuple[Any, Any]]:
    """List the container and the key of every value; a tuple is one value, because it can't be changed in place."""
    places = [(holder, key)]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in list(items)[:60]:
        places += _places(item, value, name)
    return places


def _other_tensor(tensor: torch.Tensor, dice: random.Random) -> Any:
    """Return the tensor with another type, shape, layout or values."""
    flat = tensor.flatten()
    return dice.choice(
        [
            lambda: tensor.double() if tensor.dtype == torch.float32 else tensor.float(),
            lambda: torch.full_like(tensor, float("nan")) if tensor.is_floating_point() else flat[:1],
            lambda: tensor * 1e30 if tensor.is_floating_point() else -tensor,
            lambda: torch.full_like(tensor, 3e38) if tensor.is_floating_point() else flat[1:],
            lambda: tensor.unsqueeze(0),
            lambda: flat[: len(flat) // 2],
            lambda: torch.zeros(1, dtype=tensor.dtype).expand(tensor.shape) if tensor.dim() else tensor.bool(),
            lambda: torch.zeros(1).expand(10**6, 10**6),
            lambda: tensor.to_sparse() if tensor.dim() else tensor.bool(),
            flat.tolist,
        ]
    )()
