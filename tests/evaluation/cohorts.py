"""Subjects drawn from hazards that are known."""

import numpy as np

from survlstm.data.split import Split
from tests.tensors import tensors_of


def drawn_cohort(subjects=900, *, seed=0, longest=15, low=0.02, high=0.4):
    """Subjects whose hazard is their own and the same at every step, censored at random; with that hazard."""
    generator = np.random.default_rng(seed)
    hazard = generator.uniform(low, high, subjects)
    end = np.minimum(generator.geometric(0.05, subjects) - 1, longest)
    drawn = generator.geometric(hazard) - 1
    event = drawn <= end
    split = generator.choice([Split.TRAIN, Split.VAL, Split.TEST], size=subjects, p=[0.5, 0.15, 0.35])
    return tensors_of(np.where(event, drawn, end), event, split, oracle=hazard), hazard
