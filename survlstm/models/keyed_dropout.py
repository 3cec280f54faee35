"""Dropout whose mask is a function of the visit and the unit, and not of the order of computation."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int, Int32
from torch import Tensor, nn

# Multipliers of a 32-bit integer hash with low bias (Wellons 2018, hash prospector), as signed integers, because
# torch supports few operations on unsigned ones.
FIRST, SECOND = 0x7FEB352D, 0x846CA68B - 2**32
# Number of the first code, beyond those of the units of a model's dropout layers, of which few layers use any.
FIRST_CODE = 2**30


class KeyedDropout(nn.Module):
    """Dropout that decides by a hash of the visit's key and the unit's key.

    ``torch.nn.Dropout`` draws its random numbers from one stream, in the order of the computation. Here the mask does
    not depend on the order of visits, on padding, on how a batch is split, on the device or on the number of processes,
    and a resumed run has no random state to restore. It is also faster on a CPU, where torch draws the numbers one by
    one.

    Args:
        dropout: probability that a unit is dropped, at least 0 and below 1.
        units: size of the last axis of the values.
        index: number of this dropout layer within its model, from 0 to 2047, so that layers have different masks.

    Attributes:
        key: hash of every unit; int32 of shape (unit,). It is not part of ``state_dict``.
    """

    key: Tensor

    def __init__(self, dropout: float, *, units: int, index: int) -> None:
        super().__init__()
        self.dropout = dropout
        number = torch.arange(units, dtype=torch.int32) + (index << 20)
        self.register_buffer("key", _mixed(number), persistent=False)

    def forward(
        self, values: Float[Tensor, "*visit unit"], dropout_key: Int32[Tensor, "*visit"] | None
    ) -> Float[Tensor, "*visit unit"]:
        """In training mode, set values to 0 with probability ``dropout`` and scale the others by 1 / (1 - dropout).

        Args:
            values: hidden states; shape (visit, unit), or (row, visit, unit) in the padded view.
            dropout_key: random key of each visit (``survlstm.models.protocol.ModelInputs``), in the same view; int32.
                The same key gives the same mask. May be None in evaluation mode.

        Returns:
            Values of the same shape and dtype; in evaluation mode ``values`` itself.

        Raises:
            ValueError: ``dropout_key`` is None in training mode with a dropout above 0.
        """
        if not self.training or self.dropout == 0.0:
            return values
        if dropout_key is None:
            raise ValueError("dropout must have the key of every visit in training mode; found none. Call eval() first")
        hashed = _mixed(dropout_key[..., None] ^ self.key)
        kept = hashed >= _threshold(self.dropout)
        return values * (kept * (1 / (1 - self.dropout))).to(values.dtype)


def kept_entries(
    codes: Int[Tensor, " entry"], dropout_key: Int32[Tensor, " entry"], dropout: float
) -> Bool[Tensor, " entry"]:
    """Choose which entries of visits are kept, by a hash of the visit's key and the code.

    All entries of a code in a visit are kept or left out together.

    Args:
        codes: Code of each entry.
        dropout_key: Random key of the entry's visit.
        dropout: Probability that a code of a visit is left out, at least 0 and below 1.

    Returns:
        True for an entry that is kept.
    """
    # Codes get the numbers after those of all units, see the index of KeyedDropout.
    of_code = _mixed(codes.to(torch.int32) + FIRST_CODE)
    return _mixed(dropout_key ^ of_code) >= _threshold(dropout)


def member_keys(dropout_key: Int32[Tensor, "*visit"], member: int) -> Int32[Tensor, "*visit"]:
    """Return the dropout keys of a member of an ensemble, so that members have different masks.

    Args:
        dropout_key: Random key of each visit.
        member: Number of the member, from 0, whose keys are ``dropout_key`` itself.

    Returns:
        Another key for each visit.
    """
    return dropout_key if member == 0 else _mixed(dropout_key ^ member)


def _threshold(dropout: float) -> int:
    """Return a number below which lies a share ``dropout`` of the hashes, which are uniform on -2^31 … 2^31 - 1."""
    return round(dropout * 2**32) - 2**31


def _mixed(number: Int32[Tensor, "*any"]) -> Int32[Tensor, "*any"]:
    """Hash each integer; on an unsigned 32-bit integer the same operations would be the published ones."""
    # A right shift of a signed integer copies the sign bit, and the mask clears the copies. Products wrap around, also
    # on CUDA.
    number = (number ^ ((number >> 16).bitwise_and_(0xFFFF))).mul_(FIRST)
    number ^= (number >> 15).bitwise_and_(0x1FFFF)
    # The published hash ends with one more shift. It changes low bits only, and the threshold compares the high ones.
    return number.mul_(SECOND)
