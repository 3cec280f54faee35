"""Seeded changes of bytes and of plain values: what a bad disk, an editor or a stranger makes of a file."""

from __future__ import annotations

import copy
import random
from typing import Any

import torch

from survlstm.utils.errors import SurvlstmError

SEED = 20_261_128
SECRET = "SECRET-9b1d"
LOOKED_UP = "${oc.env:SURVLSTM_FUZZ_SECRET}"


# Characters: a sentence may name some files, and no file's content.
LONGEST_SENTENCE = 4000


def sound(error: BaseException) -> bool:
    """Whether an error is one sentence for people, of their length and without the secret."""
    said = str(error)
    assert isinstance(error, SurvlstmError), repr(error)
    assert said.strip()
    assert SECRET not in said
    assert len(said) < LONGEST_SENTENCE
    return True


def _deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


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
    """One change: a bit, a byte, a cut, a hole of zeros, a doubled part or something put in between."""
    place, length = dice.randrange(len(content)), dice.randint(1, max(1, len(content) // 4))
    kind = dice.randrange(6)
    if kind == 0:
        return content[:place] + bytes([content[place] ^ 1 << dice.randrange(8)]) + content[place + 1 :]
    if kind == 1:
        return content[:place] + bytes([dice.randrange(256)]) + content[place + 1 :]
    if kind == 2:
        return content[:place]
    if kind == 3:
        return content[:place] + bytes(min(length, len(content) - place)) + content[place + length :]
    if kind == 4:
        return content[: place + length] + content[place:]
    return content[:place] + dice.randbytes(min(length, 50)) + content[place:]


def changed_value(value: Any, dice: random.Random) -> Any:
    """A copy with one change somewhere: another value, a key gone, renamed or new, an item twice, another tensor."""
    value = copy.deepcopy(value)
    holder, key = dice.choice(_places(value))
    if holder is None:
        return copy.deepcopy(dice.choice(ODD))
    found, kind = holder[key], dice.randrange(6)
    if isinstance(found, torch.Tensor) and kind:
        holder[key] = _other_tensor(found, dice)
    elif kind == 1:
        del holder[key]
    elif kind == 2 and isinstance(holder, dict):
        holder[f"{key}x"] = holder.pop(key)
    elif kind == 3 and isinstance(holder, dict):
        holder[dice.choice(["more", "_target_", "seed"])] = copy.deepcopy(dice.choice(ODD))
    elif kind == 3:
        holder.insert(key, copy.deepcopy(found))
    elif kind == 4 and isinstance(found, int | float) and not isinstance(found, bool):
        holder[key] = dice.choice([found + 1, -found, found * 1000, found / 3, str(found)])
    else:
        holder[key] = copy.deepcopy(dice.choice(ODD))
    return value


def _places(value: Any, holder: Any = None, key: Any = None) -> list[tuple[Any, Any]]:
    """Every value with what holds it; tuples are one value, which nobody changes in place."""
    found = [(holder, key)]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in list(items)[:60]:
        found += _places(item, value, name)
    return found


def _other_tensor(tensor: torch.Tensor, dice: random.Random) -> Any:
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
