"""A baseline of one's own: a life table for each third of the age at the first visit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from survlstm.data.features import FEATURES
from survlstm.data.split import Split
from survlstm.data.tensors import Tensors
from survlstm.survival.covariate_free import covariate_free_hazard


@dataclass(frozen=True)
class LifeTableByAge:
    """Hazard of the training subjects of a similar age, see ``survlstm.evaluation.baselines.protocol.Baseline``.

    Attributes:
        groups: Number of groups of age.
    """

    groups: int = 3
    name: str = "life table by age"

    def hazards(self, tensors: Tensors, subjects: np.ndarray, steps: int) -> np.ndarray:
        age = tensors.features[tensors.visit_offsets[:-1], FEATURES.index("age")]
        training = tensors.members(Split.TRAIN)
        edges = np.quantile(age[training], np.linspace(0, 1, self.groups + 1)[1:-1])
        group = np.searchsorted(edges, age)
        hazard = np.zeros((len(subjects), steps))
        for number in range(self.groups):
            members = training[group[training] == number]
            longest = max(steps, int(tensors.step[members].max()) + 1)
            table = covariate_free_hazard(tensors.step[members], tensors.event[members], steps=longest)[:steps]
            hazard[group[subjects] == number] = table
        return hazard
