"""Tensors written out in a test: flat, as records, or with one code a visit."""

import numpy as np

from survlstm.data.split import Split
from survlstm.data.tensors import Tensors
from survlstm.data.visits import offsets_from_sizes


def flat_tensors(
    *,
    step,
    event,
    visits,
    codes_per_visit,
    code,
    split=None,
    features=None,
    oracle=None,
    duration_days=None,
    edge_days=(),
    days_between=30.0,
):
    """``visits`` are counted per subject, ``codes_per_visit`` per visit; ``code`` names every entry.

    A visit comes every ``days_between`` days, and a step lasts as long. All subjects train where no split is given.
    """
    step, visits = np.asarray(step, dtype=np.int64), np.asarray(visits)
    visit_offsets = offsets_from_sizes(visits)
    number = np.arange(visit_offsets[-1]) - np.repeat(visit_offsets[:-1], visits)
    seconds = (number * days_between * 86400).astype("timedelta64[s]")
    return Tensors(
        subject_id=np.array([f"subject-{number:05d}" for number in range(len(step))]),
        split=np.full(len(step), Split.TRAIN, dtype=np.int8) if split is None else np.asarray(split, dtype=np.int8),
        step=step,
        event=np.asarray(event, dtype=bool),
        duration_days=(step + 1) * days_between if duration_days is None else np.asarray(duration_days, dtype=float),
        edge_days=np.asarray(edge_days, dtype=np.float64),
        visit_offsets=visit_offsets,
        visit_time=np.datetime64("2010-01-01T00:00:00", "s") + seconds,
        features=np.zeros((len(number), 5), dtype=np.float32) if features is None else features.astype(np.float32),
        oracle_hazard=np.full(len(number), np.nan, dtype=np.float32) if oracle is None else oracle.astype(np.float32),
        code_offsets=offsets_from_sizes(codes_per_visit),
        code=np.asarray(code, dtype=np.int32),
    )


def tensors_from(records, **labels):
    """``records`` is a list of subjects, each a list of visits, each a list of codes."""
    return flat_tensors(
        visits=[len(record) for record in records],
        codes_per_visit=np.array([len(visit) for record in records for visit in record]),
        code=[code for record in records for visit in record for code in visit],
        **labels,
    )


def tensors_of(step, event, split, *, days_between=30.0, code=None, oracle=None):
    """On the visit clock, one code in every visit (2, or ``code`` per subject), and the subjects' own hazards."""
    visits = np.asarray(step) + 1
    return flat_tensors(
        step=step,
        event=event,
        split=split,
        visits=visits,
        codes_per_visit=np.ones(visits.sum(), dtype=np.int64),
        code=np.repeat(np.full(len(visits), 2) if code is None else code, visits),
        oracle=None if oracle is None else np.repeat(oracle, visits),
        days_between=days_between,
    )
