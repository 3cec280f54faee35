"""Simulated subjects on the days clock with a constant event rate, which one of their codes reveals."""

import functools

import numpy as np

from survlstm.data.split import Split
from survlstm.data.tensors import Tensors
from survlstm.data.visits import offsets_from_sizes

TELLING_CODE = 2
EDGES = np.array([0.0, 60.0, 120.0, 240.0])
# Events per day, with the telling code and without it.
HIGH, LOW = 1 / 200, 1 / 1500
FOLLOW_UP = 900


def true_hazard(rate):
    """The hazard of each interval at a constant rate."""
    return 1 - np.exp(-rate * np.diff(EDGES))


@functools.cache
def telling_days(subjects=600, *, seed=0, judged=False, noise_codes=16):
    """Tensors with a prediction time at every visit, and the rate of each subject.

    Visits come about every forty days until the event or the end of follow-up. With ``judged``, day 100 is one more
    kind of rows. ``noise_codes`` is the number of codes that tell nothing, of which each visit has one.
    """
    generator = np.random.default_rng(seed)
    rate = np.where(generator.random(subjects) < 0.5, HIGH, LOW)
    event_day = generator.exponential(1 / rate)
    end = np.minimum(event_day, generator.uniform(60, FOLLOW_UP, subjects))
    event = event_day <= end
    visit_days = [np.cumsum(np.r_[0, generator.exponential(40, 60)]) for _ in range(subjects)]
    visit_days = [days[days < last] for days, last in zip(visit_days, end, strict=True)]
    visits = np.array([len(days) for days in visit_days])
    owner = np.repeat(np.arange(subjects), visits)
    day = np.concatenate(visit_days)
    codes = np.column_stack(
        [np.where(rate[owner] == HIGH, TELLING_CODE, 3), 4 + generator.integers(0, noise_codes, len(owner))]
    )
    offsets = offsets_from_sizes(visits)
    kinds = [(owner, day, np.arange(len(owner)) - offsets[owner] + 1, 0)]
    if judged:
        some = np.flatnonzero(end > 100)
        seen = np.array([int((visit_days[one] <= 100).sum()) for one in some])
        kinds.append((some, np.full(len(some), 100.0), seen, 1))
    subject, at, seen, kind = (
        np.concatenate([np.broadcast_to(one[column], one[0].shape) for one in kinds]) for column in range(4)
    )
    order = np.lexsort([at, kind, subject])
    subject, at, seen, kind = (column[order] for column in (subject, at, seen, kind))
    left = end[subject] - at
    reached = np.searchsorted(EDGES, left, side="right") - 1
    happens = event[subject] & (left <= EDGES[-1])
    step = np.where(happens, reached, np.minimum(reached, len(EDGES) - 1) - 1)
    later = np.minimum(step + 1, len(EDGES) - 2)
    share = (left - EDGES[later]) / (EDGES[later + 1] - EDGES[later])
    start = np.datetime64("2010-01-01T00:00:00", "s")
    last = day[offsets[subject] + seen - 1]
    tensors = Tensors(
        subject_id=np.array([f"subject-{number:05d}" for number in range(subjects)]),
        split=generator.choice([Split.TRAIN, Split.VAL, Split.TEST], subjects, p=[0.5, 0.2, 0.3]).astype(np.int8),
        step=step,
        event=happens,
        duration_days=left,
        edge_days=EDGES,
        visit_offsets=offsets,
        visit_time=start + (day * 86400).astype("timedelta64[s]"),
        features=np.zeros((len(owner), 5), dtype=np.float32),
        oracle_hazard=np.full(len(owner), np.nan, dtype=np.float32),
        code_offsets=offsets_from_sizes(np.full(len(owner), 2)),
        code=codes.ravel().astype(np.int32),
        row_subject=subject,
        row_visits=seen,
        row_time=start + (at * 86400).astype("timedelta64[s]"),
        row_kind=kind.astype(np.int8),
        exposure=np.where(happens | (step == len(EDGES) - 2), 0.0, share),
        prediction_features=np.log1p(at - last)[:, None].astype(np.float32),
    )
    return tensors, rate
