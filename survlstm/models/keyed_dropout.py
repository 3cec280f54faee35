"""Dropout whose random numbers hang on what they are for, not on when and where they are drawn."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int32
from torch import Tensor, nn

# Odd constants of a 32-bit integer hash with low bias (Wellons 2018, hash prospector), as signed numbers.
FIRST, SECOND = 0x7FEB352D, 0x846CA68B - 2**32


class KeyedDropout(nn.Module):
    """Drops a unit of a visit by a hash of the visit's key and the unit's.

    Which units fall does not hang on the order of visits, on padding, on how a batch is cut into parts, on the device
    or on the number of processes, and nothing has to be restored when a run goes on: torch's own dropout draws from one
    stream, in the order of the computation. It is also faster on a CPU, where torch draws one number after the other.
    ``place`` tells the dropouts of a model apart.
    """

    key: Tensor

    def __init__(self, dropout: float, *, units: int, place: int) -> None:
        super().__init__()
        self.dropout = dropout
        number = torch.arange(units, dtype=torch.int32) + (place << 20)
        self.register_buffer("key", _mixed(number), persistent=False)

    def forward(
        self, values: Float[Tensor, "visit unit"], noise: Int32[Tensor, " visit"] | None
    ) -> Float[Tensor, "visit unit"]:
        """In training a value is 0 with chance ``dropout``, and scaled up otherwise; ``noise``: the visits' keys."""
        if not self.training or self.dropout == 0.0:
            return values
        if noise is None:
            raise ValueError("dropout must have the key of every visit in training mode; found none. Call eval() first")
        hashed = _mixed(noise[:, None] ^ self.key)
        kept = hashed >= round(self.dropout * 2**32) - 2**31
        return values * (kept * (1 / (1 - self.dropout))).to(values.dtype)


def _mixed(number: Int32[Tensor, "*any"]) -> Int32[Tensor, "*any"]:
    # The shifts of signed numbers bring in the sign, which the masks take away; products wrap around, on CUDA too.
    number = (number ^ ((number >> 16).bitwise_and_(0xFFFF))).mul_(FIRST)
    number ^= (number >> 15).bitwise_and_(0x1FFFF)
    # The hash's last shift only moves low bits, and the threshold looks at the high ones.
    return number.mul_(SECOND)
