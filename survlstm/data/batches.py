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
from survlstm.survival.steps import at_risk_mask, event_mask


class Batch(NamedTuple):
    """Subjects side by side: their visits in one flat list, and where each stands in [subject, step]."""

    codes: Int[Tensor, " code"]
    code_offsets: Int[Tensor, " visit"]
    visit_features: Float[Tensor, "visit feature"]
    visit_position: Int[Tensor, " visit"]
    subjects: int
    steps: int
    at_risk: Bool[Tensor, "subject step"]
    event: Bool[Tensor, "subject step"]

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


@dataclass(frozen=True)
class Batches:
    """The subjects of one split in batches.

    Records are heavy-tailed, so a batch holds subjects of similar length: padding to the longest of a random batch
    would compute several times the visits there are. ``shuffled`` jitters the lengths before sorting, so that batches
    differ between epochs.
    """

    tensors: Tensors
    members: Int64[np.ndarray, " member"]
    batch_size: int
    features: tuple[int, ...]

    def __len__(self) -> int:
        return math.ceil(len(self.members) / self.batch_size)

    def in_order(self) -> Iterator[tuple[Int64[np.ndarray, " row"], Batch]]:
        """Batches by record length, each with the numbers of its subjects."""
        members = self.members[np.argsort(self.tensors.step[self.members], kind="stable")]
        for start in range(0, len(members), self.batch_size):
            chosen = members[start : start + self.batch_size]
            yield chosen, self.collate(chosen)

    def shuffled(self, generator: np.random.Generator) -> Iterator[Batch]:
        """Every subject once, in a new mixture."""
        length = self.tensors.step[self.members] + 1
        members = self.members[np.argsort(length * generator.uniform(0.95, 1.05, len(length)), kind="stable")]
        starts = np.arange(0, len(members), self.batch_size)
        for start in generator.permutation(starts):
            yield self.collate(members[start : start + self.batch_size])

    def collate(self, chosen: Int64[np.ndarray, " row"]) -> Batch:
        """The named subjects as one batch."""
        data = self.tensors
        length = data.step[chosen] + 1
        steps = int(length.max())
        visit = ranges(data.visit_offsets[chosen], length)
        codes_per_visit = data.code_offsets[visit + 1] - data.code_offsets[visit]
        step, event = torch.from_numpy(data.step[chosen]), torch.from_numpy(data.event[chosen])
        return Batch(
            codes=torch.from_numpy(data.code[ranges(data.code_offsets[visit], codes_per_visit)]),
            code_offsets=torch.from_numpy((np.cumsum(codes_per_visit) - codes_per_visit).astype(np.int32)),
            visit_features=torch.from_numpy(data.features[visit][:, self.features]),
            visit_position=torch.from_numpy(ranges(np.arange(len(chosen)) * steps, length)),
            subjects=len(chosen),
            steps=steps,
            at_risk=at_risk_mask(step, steps=steps),
            event=event_mask(step, event, steps=steps),
        )


def feature_columns(names: Sequence[str]) -> tuple[int, ...]:
    """Where the named visit features stand in ``Tensors.features``."""
    return tuple(FEATURES.index(name) for name in names)
