"""Tensors of one split → batches of subjects with similar records."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor

from survlstm.data.features import FEATURES
from survlstm.data.ragged import ranges
from survlstm.data.tensors import Tensors


class Batch(NamedTuple):
    """Rows of visits side by side: the visits in one flat list, and where each stands in [row, position].

    Rows come one after the other, and so do the visits of a row. A row is a subject's record, or a window of it.
    ``at_risk`` is true where a hazard counts: on the visit clock a step is the visit at that position of the row, on
    the landmark clock an interval behind the row. ``subjects`` is how many subjects the rows belong to.
    """

    codes: Int[Tensor, " code"]
    code_offsets: Int[Tensor, " visit"]
    visit_features: Float[Tensor, "visit feature"]
    visit_position: Int[Tensor, " visit"]
    rows: int
    length: int
    at_risk: Bool[Tensor, "row step"]
    event: Bool[Tensor, "row step"]
    subjects: int

    @property
    def inputs(self) -> tuple[Tensor | int, ...]:
        """What a model's ``forward`` takes."""
        return self[:6]

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        return self._replace(
            codes=self.codes.to(device),
            code_offsets=self.code_offsets.to(device),
            visit_features=self.visit_features.to(device),
            visit_position=self.visit_position.to(device),
            at_risk=self.at_risk.to(device),
            event=self.event.to(device),
        )


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
    differ between epochs. ``max_visits`` is how many visits a hazard may look back on, see ``windows`` and ``latest``.
    """

    tensors: Tensors
    members: Int64[np.ndarray, " member"]
    batch_size: int
    features: tuple[int, ...]
    max_visits: int | None = None

    def __len__(self) -> int:
        return math.ceil(len(self.members) / self.batch_size)

    def in_order(self) -> Iterator[tuple[Int64[np.ndarray, " chosen"], Batch]]:
        """Batches by record length, each with the numbers of its subjects."""
        for chosen in self._split(self._visits(self.members)):
            yield chosen, self.collate(chosen)

    def shuffled(self, generator: np.random.Generator) -> Iterator[Batch]:
        """Every subject once, in a new mixture."""
        length = self._visits(self.members)
        parts = self._split(length * generator.uniform(0.95, 1.05, len(length)))
        for place in generator.permutation(len(parts)):
            yield self.collate(parts[place])

    def collate(self, chosen: Int64[np.ndarray, " chosen"]) -> Batch:
        """The named subjects as one batch."""
        data = self.tensors
        read = latest if data.clock == "landmark" else windows
        rows = read(self._visits(chosen), self.max_visits)
        visit = ranges(data.visit_offsets[chosen][rows.owner] + rows.start, rows.length)
        codes_per_visit = data.code_offsets[visit + 1] - data.code_offsets[visit]
        length = int(rows.length.max())
        at_risk, event = self._labels(chosen, rows)
        return Batch(
            codes=torch.from_numpy(data.code[ranges(data.code_offsets[visit], codes_per_visit)]),
            code_offsets=torch.from_numpy((np.cumsum(codes_per_visit) - codes_per_visit).astype(np.int32)),
            visit_features=torch.from_numpy(data.features[visit][:, self.features]),
            visit_position=torch.from_numpy(ranges(np.arange(len(rows.owner)) * length, rows.length)),
            rows=len(rows.owner),
            length=length,
            at_risk=torch.from_numpy(at_risk),
            event=torch.from_numpy(event),
            subjects=len(chosen),
        )

    def _visits(self, subject: np.ndarray) -> np.ndarray:
        return self.tensors.visit_offsets[subject + 1] - self.tensors.visit_offsets[subject]

    def _labels(self, chosen: np.ndarray, rows: Windows) -> tuple[np.ndarray, np.ndarray]:
        """``at_risk`` and ``event`` [row, step]."""
        data = self.tensors
        step, event = data.step[chosen][rows.owner][:, None], data.event[chosen][rows.owner][:, None]
        if data.clock == "landmark":
            number = np.arange(data.steps)
            return number <= step, (number == step) & event
        position = np.arange(rows.length.max())
        at_risk = (position >= rows.counted_from[:, None]) & (position < rows.length[:, None])
        return at_risk, at_risk & (position == step - rows.start[:, None]) & event

    def _split(self, by: np.ndarray) -> list[np.ndarray]:
        # Of equal size: a rest of a few would be the longest records, with a step of the optimizer to themselves.
        return np.array_split(self.members[np.argsort(by, kind="stable")], len(self))


def windows(visits: Int64[np.ndarray, " subject"], max_visits: int | None) -> Windows:
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
    start = stride * ranges(np.zeros_like(number_of), number_of)
    counted_from = np.where(start > 0, max_visits - stride, 0)
    return Windows(owner, start, np.minimum(visits[owner] - start, max_visits), counted_from)


def latest(visits: Int64[np.ndarray, " subject"], max_visits: int | None) -> Windows:
    """One row a subject: the most recent ``max_visits`` visits on or before the landmark, or all of them.

    Counted from the record's end they tell nothing here: the record ends at the landmark, wherever the event is.
    """
    length = visits if max_visits is None else np.minimum(visits, max_visits)
    return Windows(np.arange(len(visits)), visits - length, length, np.zeros_like(visits))


def feature_columns(names: Sequence[str]) -> tuple[int, ...]:
    """Where the named visit features stand in ``Tensors.features``."""
    return tuple(FEATURES.index(name) for name in names)
