"""Batches of subjects with records of similar length."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int32, Int64
from torch import Tensor

from survlstm.data.features import FEATURES
from survlstm.data.packing import PackedLayout, pack_rows
from survlstm.data.prediction_times import TRAINED
from survlstm.data.targets import days_between
from survlstm.data.tensors import Tensors
from survlstm.models.protocol import ModelInputs
from survlstm.utils.ragged import flat_positions


class Batch(NamedTuple):
    """Input of a model and its labels for some subjects.

    A row is the record of a subject or a window of it.

    Attributes:
        inputs: What a model may see.
        at_risk: Whether a hazard counts in the loss: [slot] on the visit clock, in the order of the logits; [row, step]
            on the landmark clock, where a step is an interval after the landmark; [prediction, step] on the days clock.
        event: Whether the event happened in that step, of the same shape; true only where ``at_risk`` is.
        subjects: Number of subjects that the rows belong to.
        weight: Weight of each hazard in the loss on the days clock, of the same shape: the share of the interval that
            was observed, times ``Batches.row_weight``. None stands for 1 on the other clocks.
    """

    inputs: ModelInputs
    at_risk: Bool[Tensor, "*label"]
    event: Bool[Tensor, "*label"]
    subjects: int
    weight: Float[Tensor, "prediction step"] | None = None

    def to(self, device: torch.device) -> Batch:
        """Copy the batch to a device; from pinned memory, the copy runs while the host goes on.

        Args:
            device: The device; tensors that are on it already are not copied.

        Returns:
            The batch with all tensors on ``device``.
        """
        return self._each(lambda labels: labels.to(device, non_blocking=True), self.inputs.to(device))

    def pinned(self) -> Batch:
        """Copy the batch to page-locked memory, from which a CUDA device copies on its own."""
        return self._each(Tensor.pin_memory, self.inputs.pin_memory())

    def _each(self, move: Callable[[Tensor], Tensor], inputs: ModelInputs) -> Batch:
        weight = None if self.weight is None else move(self.weight)
        return Batch(inputs, move(self.at_risk), move(self.event), self.subjects, weight)


class Windows(NamedTuple):
    """Visits of each row of a batch.

    Attributes:
        owner: Index of the row's subject among those of the batch.
        start: First visit of the row, counted in the record of its subject.
        length: Number of visits in the row.
        counted_from: First position in the row whose hazard counts; earlier positions are only context. Always 0 on the
            landmark clock.
    """

    owner: Int64[np.ndarray, " row"]
    start: Int64[np.ndarray, " row"]
    length: Int64[np.ndarray, " row"]
    counted_from: Int64[np.ndarray, " row"]


@dataclass(frozen=True)
class Batches:
    """Batches of the subjects of one split.

    The distribution of record lengths has a heavy tail, so a batch contains subjects of similar length: padding a
    random batch to its longest record would compute several times the number of visits. ``shuffled`` jitters the
    lengths before it sorts by them, so that batches differ between epochs.

    Attributes:
        tensors: Arrays of all splits.
        members: Indices of the subjects of this split.
        batch_size: Most subjects in a batch.
        features: Columns of ``Tensors.features`` that the model reads, see ``feature_columns``.
        max_visits: Most visits that a hazard may look back on; None for no limit. See ``make_windows`` and
            ``latest_windows``.
        all_rows: Whether the batches have the rows of every kind, see ``Tensors.row_kind``; false for those to train
            on.

    Example:
        >>> batches = Batches(tensors, tensors.members(Split.TRAIN), 64, feature_columns(["age"], tensors))
        >>> for chosen in batches.shuffled(seed=0, epoch=1):
        ...     batch = batches.collate(chosen)
    """

    tensors: Tensors
    members: Int64[np.ndarray, " member"]
    batch_size: int
    features: tuple[int, ...]
    max_visits: int | None = None
    all_rows: bool = False

    def __len__(self) -> int:
        return math.ceil(len(self.members) / self.batch_size)

    def in_order(self) -> list[Int64[np.ndarray, " chosen"]]:
        """Return the subjects of each batch, sorted by record length."""
        return self._split(self.visits(self.members))

    def shuffled(self, *, seed: int, epoch: int) -> list[Int64[np.ndarray, " chosen"]]:
        """Return the subjects of each batch of one epoch: every subject once, in new combinations and a new order.

        The result depends on the arguments only, so a resumed run needs no state of a random generator.

        Args:
            seed: Seed of the run.
            epoch: Number of the epoch.

        Returns:
            Indices of the subjects of each batch into the subjects of ``tensors``, one array per batch. The batches
            differ in size by at most one subject.
        """
        generator = np.random.default_rng([seed, epoch])
        length = self.visits(self.members)
        parts = self._split(length * generator.uniform(0.95, 1.05, len(length)))
        return [parts[number] for number in generator.permutation(len(parts))]

    def collate(self, chosen: Int64[np.ndarray, " chosen"], *, salt: int = 0) -> Batch:
        """Build the batch of some subjects.

        Args:
            chosen: Indices of the subjects into the subjects of ``tensors``.
            salt: Another number gives other dropout keys for the same visits.

        Returns:
            The batch, on the CPU. Its rows are the subjects in the order of ``chosen``; on the visit clock with
            ``max_visits``, each subject has its windows as rows, in order of time.
        """
        data = self.tensors
        rows = self.windows(chosen)
        visit = flat_positions(data.visit_offsets[chosen][rows.owner] + rows.start, rows.length)
        layout = pack_rows(rows.length)
        visit_of = np.zeros(layout.total, dtype=np.int64)
        visit_of[layout.slot] = visit
        codes_per_slot = np.zeros(layout.total, dtype=np.int64)
        codes_per_slot[layout.slot] = data.code_offsets[visit + 1] - data.code_offsets[visit]
        features = np.zeros((layout.total, len(self.features)), dtype=np.float32)
        features[layout.slot] = data.features[visit][:, self.features]
        # A visit in two windows gets two keys.
        dropout_key = visit_keys(
            self._key_numbers(chosen, rows, visit_of, layout), layout.slot, np.repeat(rows.start, rows.length), salt
        )
        days = np.zeros(layout.total, dtype=np.float32)
        days[layout.slot] = self._days(chosen, rows, visit)
        times = self.rows(chosen) if data.clock == "days" else None
        at_risk, event, weight = self._labels(chosen, rows, layout) if times is None else self._labels_of_rows(times)
        at = None if times is None else self._prediction_slots(chosen, times, rows, layout)
        inputs = ModelInputs(
            codes=torch.from_numpy(data.code[flat_positions(data.code_offsets[visit_of], codes_per_slot)]),
            code_offsets=torch.from_numpy((np.cumsum(codes_per_slot) - codes_per_slot).astype(np.int32)),
            visit_features=torch.from_numpy(features),
            visit_days=torch.from_numpy(days),
            slices=layout.slices,
            slot=torch.from_numpy(layout.slot),
            visits_per_row=torch.from_numpy(rows.length),
            dropout_key=torch.from_numpy(dropout_key),
            prediction_slot=None if at is None else torch.from_numpy(at),
            prediction_features=None if at is None else torch.from_numpy(data.prediction_features[times]),
        )
        weights = None if weight is None else torch.from_numpy(weight)
        return Batch(inputs, torch.from_numpy(at_risk), torch.from_numpy(event), len(chosen), weights)

    def windows(self, chosen: Int64[np.ndarray, " chosen"]) -> Windows:
        """Return the visits of each row that the batch of some subjects has.

        Args:
            chosen: Indices of the subjects into the subjects of ``tensors``.
        """
        read = latest_windows if self.tensors.clock == "landmark" else make_windows
        return read(self.visits(chosen), self.max_visits)

    def rows(self, subject: Int64[np.ndarray, " chosen"]) -> Int64[np.ndarray, " row"]:
        """Return the rows that have a label, of some subjects.

        Args:
            subject: Indices of the subjects into the subjects of ``tensors``.

        Returns:
            Indices into the rows of ``tensors``, subject after subject.
        """
        return self.tensors.rows_of(subject, kind=None if self.all_rows else TRAINED)

    @cached_property
    def row_weight(self) -> float:
        """Weight of each row in the loss: one over the mean number of rows of a subject.

        With it, the mean loss per subject is the mean loss per row: every prediction time has the same weight. A total
        weight of one per subject would be biased. Subjects who survive longer have more rows, so that each of their
        rows would count less, and predicted risks would be too high.
        """
        return len(self.members) / len(self.rows(self.members))

    @cached_property
    def pair_weight(self) -> float:
        """Weight of a visit and the next one of its row in an auxiliary loss: one over their mean number per subject.

        With it, the mean loss per subject is the mean loss per pair of visits. It is 0 if no row has two visits.
        """
        pairs = int((self.windows(self.members).length - 1).sum())
        return len(self.members) / pairs if pairs else 0.0

    def visits(self, subject: Int64[np.ndarray, " chosen"]) -> Int64[np.ndarray, " chosen"]:
        """Return the number of visits of each of these subjects that a model reads.

        Args:
            subject: Indices of the subjects into the subjects of ``tensors``.

        Returns:
            Number of stored visits of each subject, in the order of ``subject``; without ``all_rows`` only those that a
            row to train on sees.
        """
        if self.tensors.clock == "days" and not self.all_rows:
            return self.tensors.trained_visits[subject]
        return self.tensors.visit_offsets[subject + 1] - self.tensors.visit_offsets[subject]

    def _days(self, chosen: np.ndarray, rows: Windows, visit: np.ndarray) -> np.ndarray:
        """Return the days from the first visit of its subject's record to each visit, [visit]."""
        first = self.tensors.visit_offsets[chosen][rows.owner]
        times = self.tensors.visit_time
        return days_between(times[np.repeat(first, rows.length)], times[visit])

    def _labels(self, chosen: np.ndarray, rows: Windows, layout: PackedLayout) -> tuple[np.ndarray, np.ndarray, None]:
        """Return ``at_risk``, ``event`` and ``weight`` of the clocks on which a row is a subject, see ``Batch``."""
        data = self.tensors
        step, event = data.step[chosen][rows.owner], data.event[chosen][rows.owner]
        if data.clock == "landmark":
            number = np.arange(data.steps)
            return number <= step[:, None], (number == step[:, None]) & event[:, None], None
        position = flat_positions(np.zeros_like(rows.length), rows.length)
        counted = position >= np.repeat(rows.counted_from, rows.length)
        happened = np.repeat(event, rows.length) & (position == np.repeat(step - rows.start, rows.length))
        labels = np.zeros((2, layout.total), dtype=np.bool_)
        labels[:, layout.slot] = counted, counted & happened
        return labels[0], labels[1], None

    def _labels_of_rows(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        data, number = self.tensors, np.arange(self.tensors.steps)
        step, event, exposure = (values[rows, None] for values in (data.step, data.event, data.exposure))
        share = np.where(number == step + 1, exposure, (number <= step).astype(np.float64))
        return share > 0, (number == step) & event, (share * self.row_weight).astype(np.float32)

    def _prediction_slots(
        self, chosen: np.ndarray, times: np.ndarray, rows: Windows, layout: PackedLayout
    ) -> np.ndarray:
        """Return the slot of the last visit of each prediction time, in the window in which that visit counts."""
        by_subject = np.argsort(chosen)
        owner = by_subject[np.searchsorted(chosen, self.tensors.row_subject[times], sorter=by_subject)]
        position = self.tensors.row_visits[times] - 1
        # Windows are in the order of their subjects and of time, so that one axis holds them all. A visit counts in the
        # last window that begins to count at or before it.
        width = int((rows.start + rows.length).max()) + 1
        begins = rows.owner * width + rows.start + rows.counted_from
        window = np.searchsorted(begins, owner * width + position, side="right") - 1
        first = np.cumsum(rows.length) - rows.length
        return layout.slot[first[window] + position - rows.start[window]]

    def _key_numbers(
        self, chosen: np.ndarray, rows: Windows, visit_of: np.ndarray, layout: PackedLayout
    ) -> Int64[np.ndarray, " slot"]:
        """Return the number from which the dropout key of each slot is made, see ``visit_keys``."""
        if self.tensors.clock != "days":
            return visit_of
        # Counted among the visits that training reads, so that times which are only evaluated change no mask.
        number = np.zeros_like(visit_of)
        number[layout.slot] = flat_positions(self._first_numbers[chosen][rows.owner] + rows.start, rows.length)
        return number

    @cached_property
    def _first_numbers(self) -> Int64[np.ndarray, " subject"]:
        """Number of the first visit of each member, counted over the visits of the members; 0 for other subjects."""
        first = np.zeros(len(self.tensors.subject_id), dtype=np.int64)
        length = self.visits(self.members)
        first[self.members] = np.cumsum(length) - length
        return first

    def _split(self, by: np.ndarray) -> list[np.ndarray]:
        """Sort the subjects by a key and cut them into batches."""
        # Of equal size: a small last batch would hold the longest records and take an optimizer step of its own.
        return np.array_split(self.members[np.argsort(by, kind="stable")], len(self))


def visit_keys(
    visit: Int64[np.ndarray, " slot"], slot: Int64[np.ndarray, " visit"], start: Int64[np.ndarray, " visit"], salt: int
) -> Int32[np.ndarray, " slot"]:
    """Compute a pseudo-random key for each slot from its visit, the start of its window and the salt only.

    Dropout masks drawn from these keys do not depend on the other subjects of the batch or on the layout. The bits are
    mixed as in splitmix64 (Steele, Lea & Flood 2014, OOPSLA); the integer arithmetic wraps around on purpose.

    Args:
        visit: Index of the visit in each slot; any value in padding.
        slot: Slot of each visit, row after row.
        start: First visit of the row that each visit is in.
        salt: Number that selects one of many independent sets of keys.

    Returns:
        Key of each slot, uniform over all 32-bit integers; the keys of padding have no meaning.
    """
    key = visit.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    key[slot] += (start.astype(np.uint64) + np.uint64(1)) * np.uint64(0xD1B54A32D192ED03)
    key ^= np.uint64(salt)
    key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (key >> np.uint64(32)).astype(np.uint32).view(np.int32)


def make_windows(visits: Int64[np.ndarray, " subject"], max_visits: int | None) -> Windows:
    """Divide records into rows on the visit clock.

    Without ``max_visits`` a subject is one row. With it, a record is divided into windows of that many visits, each
    beginning half a window after the one before. A hazard counts in the first window that contains it, so that its
    history is between half a window and a whole one (near the start of the record: everything so far). The windows
    begin at fixed visit numbers. Windows counted from the end of a record, as "the most recent visits", would reveal to
    every hazard how far away the event is.

    Args:
        visits: Number of visits of each subject.
        max_visits: Most visits in a window, at least 2; None for no limit.

    Returns:
        The rows, subject after subject in the order of ``visits`` and, within a subject, in order of time.
    """
    if max_visits is None:
        zeros = np.zeros_like(visits)
        return Windows(np.arange(len(visits)), zeros, visits, zeros)
    stride = max_visits // 2
    # The first window, and one more for each stride begun beyond it: a ceiling division.
    windows = 1 + np.maximum(-(-(visits - max_visits) // stride), 0)
    owner = np.repeat(np.arange(len(visits)), windows)
    start = stride * flat_positions(np.zeros_like(windows), windows)
    counted_from = np.where(start > 0, max_visits - stride, 0)
    return Windows(owner, start, np.minimum(visits[owner] - start, max_visits), counted_from)


def latest_windows(visits: Int64[np.ndarray, " subject"], max_visits: int | None) -> Windows:
    """Select the most recent visits on or before the landmark, one row per subject.

    Counting from the end of the record reveals nothing here: the stored record ends at the landmark, wherever the event
    is.

    Args:
        visits: Number of visits of each subject up to its landmark.
        max_visits: Most visits in a row; None for all.

    Returns:
        One row per subject, in the order of ``visits``.
    """
    length = visits if max_visits is None else np.minimum(visits, max_visits)
    return Windows(np.arange(len(visits)), visits - length, length, np.zeros_like(visits))


def feature_columns(names: Sequence[str], tensors: Tensors) -> tuple[int, ...]:
    """Return the columns of ``Tensors.features`` with these names, then all columns of code groups and of values.

    Args:
        names: Names from ``survlstm.data.features.FEATURES``.
        tensors: The tensors.

    Returns:
        Index of each column, in the order of ``names``.

    Raises:
        ValueError: If a name is not in ``FEATURES``.
    """
    return (*(FEATURES.index(name) for name in names), *range(len(FEATURES), tensors.features.shape[1]))
