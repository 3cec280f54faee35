"""Tensors by hand for the tests of the judgement: subjects with the same hazard at every step, or one of their own."""

import numpy as np

from survlstm.data.split import Split
from survlstm.data.tensors import Tensors


def tensors_of(step, event, split, *, days_between=30.0, code=None, oracle=None):
    """A visit every ``days_between`` days with one code each (2, or ``code`` per subject), on the visit clock."""
    step, event = np.asarray(step, dtype=np.int64), np.asarray(event, dtype=bool)
    visits = step + 1
    offsets = np.concatenate([[0], np.cumsum(visits)])
    number = np.arange(offsets[-1]) - np.repeat(offsets[:-1], visits)
    seconds = (number * days_between * 86400).astype(np.int64)
    codes = np.full(len(step), 2) if code is None else np.asarray(code)
    return Tensors(
        subject_id=np.array([f"subject-{number:05d}" for number in range(len(step))]),
        split=np.asarray(split, dtype=np.int8),
        step=step,
        event=event,
        duration_days=(step + 1) * days_between,
        edge_days=np.zeros(0),
        visit_offsets=offsets.astype(np.int64),
        visit_time=np.datetime64("2010-01-01T00:00:00", "s") + seconds.astype("timedelta64[s]"),
        features=np.zeros((offsets[-1], 5), dtype=np.float32),
        oracle_hazard=np.full(offsets[-1], np.nan, dtype=np.float32)
        if oracle is None
        else np.repeat(oracle, visits).astype(np.float32),
        code_offsets=np.arange(offsets[-1] + 1, dtype=np.int64),
        code=np.repeat(codes, visits).astype(np.int32),
    )


def drawn_cohort(subjects=900, *, seed=0, longest=15, low=0.02, high=0.4):
    """Subjects whose hazard is their own and the same at every step, censored at random; with that hazard."""
    generator = np.random.default_rng(seed)
    hazard = generator.uniform(low, high, subjects)
    end = np.minimum(generator.geometric(0.05, subjects) - 1, longest)
    drawn = generator.geometric(hazard) - 1
    event = drawn <= end
    split = generator.choice([Split.TRAIN, Split.VAL, Split.TEST], size=subjects, p=[0.5, 0.15, 0.35])
    return tensors_of(np.where(event, drawn, end), event, split, oracle=hazard), hazard


def hazard_rows(hazard, step):
    """[subject, step], NaN behind each subject's last at-risk step."""
    number = np.arange(int(step.max()) + 1)
    return np.where(number <= step[:, None], hazard[:, None], np.nan)
