"""Tensors of one split → batches of subjects with similar records."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int32, Int64
from torch import Tensor

from survlstm.data.features import FEATURES
from survlstm.data.packing import PackedLayout, pack_rows
from survlstm.data.ragged import flat_positions
from survlstm.data.tensors import Tensors


class Batch(NamedTuple):
    """Rows of visits in slots (see survlstm.data.packing), and the labels of their hazards.

    A row is a subject's record, or a window of it; ``slot`` names each visit's slot, row after row. A slot of padding
    has no codes and is nobody's. On the visit clock labels stand in slots as the logits do, and ``at_risk`` is true
    where a hazard counts; on the landmark clock they are [row, step], a step being an interval behind the row.
    ``noise`` is the key of each slot's dropout. ``subjects`` is how many subjects the rows belong to.
    """

    codes: Int[Tensor, " code"]
    code_offsets: Int[Tensor, " slot"]
    visit_features: Float[Tensor, "slot feature"]
    slices: tuple[tuple[int, int], ...]
    slot: Int64[Tensor, " visit"]
    visits_per_row: Int64[Tensor, " row"]
    noise: Int32[Tensor, " slot"]
    at_risk: Bool[Tensor, "*label"]
    event: Bool[Tensor, "*label"]
    subjects: int

    @property
    def inputs(self) -> tuple[Tensor | tuple[tuple[int, int], ...], ...]:
        """What a model's ``forward`` takes."""
        return self[:7]

    @property
    def slots(self) -> int:
        """What a model computes: visits and padding."""
        return len(self.code_offsets)

    def to(self, device: torch.device) -> Batch:
        """The batch on a device; from pinned memory the copy does not hold the host up."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pinned(self) -> Batch:
        """The batch in memory that a CUDA device copies from by itself."""
        return self._each(torch.Tensor.pin_memory)

    def _each(self, move: Callable[[Tensor], Tensor]) -> Batch:
        moved: dict[str, Any] = {
            name: move(value) for name, value in self._asdict().items() if isinstance(value, Tensor)
        }
        return self._replace(**moved)


class Windows(NamedTuple):
    """Which visits each row holds, and on the visit clock from which position on their hazards count."""

    owner: Int64[np.ndarray, " row"]
    start: Int64[np.ndarray, " row"]
    length: Int64[np.ndarray, " row"]
    counted_from: Int64[np.ndarray, " row"]


@dataclass(frozen=True)
class Batches:
    """The subjects of one split in batches.

    Records are heavy-tailed, so a batch holds subjects of similar length: padding to the longest of a random batch
    would compute several times the visits there are. ``shuffled`` jitters the lengths before sorting, so that batches
    differ between epochs. ``max_visits`` is how many visits a hazard may look back on, see ``make_windows`` and
    ``latest_windows``.
    """

    tensors: Tensors
    members: Int64[np.ndarray, " member"]
    batch_size: int
    features: tuple[int, ...]
    max_visits: int | None = None

    def __len__(self) -> int:
        return math.ceil(len(self.members) / self.batch_size)

    def in_order(self) -> list[Int64[np.ndarray, " chosen"]]:
        """The subjects of each batch, by record length."""
        return self._split(self.visits(self.members))

    def shuffled(self, *, seed: int, epoch: int) -> list[Int64[np.ndarray, " chosen"]]:
        """The subjects of each batch of an epoch: every subject once, in a mixture and an order of the epoch's own."""
        generator = np.random.default_rng([seed, epoch])
        length = self.visits(self.members)
        parts = self._split(length * generator.uniform(0.95, 1.05, len(length)))
        return [parts[place] for place in generator.permutation(len(parts))]

    def collate(self, chosen: Int64[np.ndarray, " chosen"], *, salt: int = 0) -> Batch:
        """The named subjects as one batch; ``salt`` makes another noise of it."""
        data = self.tensors
        read = latest_windows if data.clock == "landmark" else make_windows
        rows = read(self.visits(chosen), self.max_visits)
        visit = flat_positions(data.visit_offsets[chosen][rows.owner] + rows.start, rows.length)
        slots = pack_rows(rows.length)
        visit_of = np.zeros(slots.total, dtype=np.int64)
        visit_of[slots.slot] = visit
        codes_per_slot = np.zeros(slots.total, dtype=np.int64)
        codes_per_slot[slots.slot] = data.code_offsets[visit + 1] - data.code_offsets[visit]
        features = np.zeros((slots.total, len(self.features)), dtype=np.float32)
        features[slots.slot] = data.features[visit][:, self.features]
        # A visit that stands in two windows gets two keys.
        noise = visit_keys(visit_of, slots.slot, np.repeat(rows.start, rows.length), salt)
        at_risk, event = self._labels(chosen, rows, slots)
        return Batch(
            codes=torch.from_numpy(data.code[flat_positions(data.code_offsets[visit_of], codes_per_slot)]),
            code_offsets=torch.from_numpy((np.cumsum(codes_per_slot) - codes_per_slot).astype(np.int32)),
            visit_features=torch.from_numpy(features),
            slices=slots.slices,
            slot=torch.from_numpy(slots.slot),
            visits_per_row=torch.from_numpy(rows.length),
            noise=torch.from_numpy(noise),
            at_risk=torch.from_numpy(at_risk),
            event=torch.from_numpy(event),
            subjects=len(chosen),
        )

    def visits(self, subject: Int64[np.ndarray, " chosen"]) -> Int64[np.ndarray, " chosen"]:
        """How many visits each of the subjects has."""
        return self.tensors.visit_offsets[subject + 1] - self.tensors.visit_offsets[subject]

    def _labels(self, chosen: np.ndarray, rows: Windows, slots: PackedLayout) -> tuple[np.ndarray, np.ndarray]:
        """``at_risk`` and ``event``, [slot] on the visit clock and [row, step] on the landmark clock."""
        data = self.tensors
        step, event = data.step[chosen][rows.owner], data.event[chosen][rows.owner]
        if data.clock == "landmark":
            number = np.arange(data.steps)
            return number <= step[:, None], (number == step[:, None]) & event[:, None]
        position = flat_positions(np.zeros_like(rows.length), rows.length)
        counted = position >= np.repeat(rows.counted_from, rows.length)
        happened = np.repeat(event, rows.length) & (position == np.repeat(step - rows.start, rows.length))
        labels = np.zeros((2, slots.total), dtype=np.bool_)
        labels[:, slots.slot] = counted, counted & happened
        return labels[0], labels[1]

    def _split(self, by: np.ndarray) -> list[np.ndarray]:
        # Of equal size: a rest of a few would be the longest records, with a step of the optimizer to themselves.
        return np.array_split(self.members[np.argsort(by, kind="stable")], len(self))


def visit_keys(
    visit: Int64[np.ndarray, " slot"], slot: Int64[np.ndarray, " visit"], start: Int64[np.ndarray, " visit"], salt: int
) -> Int32[np.ndarray, " slot"]:
    """A key for each slot that hangs on its visit, the start of its window and the salt, and on nothing else.

    Mixed as in splitmix64 (Steele, Lea & Flood 2014); the arithmetic wraps around.
    """
    key = visit.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    key[slot] += (start.astype(np.uint64) + np.uint64(1)) * np.uint64(0xD1B54A32D192ED03)
    key ^= np.uint64(salt)
    key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (key >> np.uint64(32)).astype(np.uint32).view(np.int32)


def make_windows(visits: Int64[np.ndarray, " subject"], max_visits: int | None) -> Windows:
    """The rows that subjects with so many visits are read in.

    Without ``max_visits`` a subject is one row. With it a record is read in windows of that many visits, each beginning
    half a window after the one before; a hazard counts in the first window that reaches it, so that it looks back on
    half a window to a whole one (from the start of the record: on all of it). The windows stand at fixed visit numbers.
    Chosen from a record's end, as "the most recent visits", they would tell every hazard how far away the event is.
    """
    if max_visits is None:
        nothing = np.zeros_like(visits)
        return Windows(np.arange(len(visits)), nothing, visits, nothing)
    stride = max_visits // 2
    number_of = 1 + np.maximum(-(-(visits - max_visits) // stride), 0)
    owner = np.repeat(np.arange(len(visits)), number_of)
    start = stride * flat_positions(np.zeros_like(number_of), number_of)
    counted_from = np.where(start > 0, max_visits - stride, 0)
    return Windows(owner, start, np.minimum(visits[owner] - start, max_visits), counted_from)


def latest_windows(visits: Int64[np.ndarray, " subject"], max_visits: int | None) -> Windows:
    """One row a subject: the most recent ``max_visits`` visits on or before the landmark, or all of them.

    Counted from the record's end they tell nothing here: the record ends at the landmark, wherever the event is.
    """
    length = visits if max_visits is None else np.minimum(visits, max_visits)
    return Windows(np.arange(len(visits)), visits - length, length, np.zeros_like(visits))


def feature_columns(names: Sequence[str]) -> tuple[int, ...]:
    """Where the named visit features stand in ``Tensors.features``."""
    return tuple(FEATURES.index(name) for name in names)
