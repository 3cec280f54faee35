"""Labels → what training aims at on the clock of the run, and how much of each record may be seen for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from survlstm.data.cohort import Exclusion
from survlstm.data.features import DAY_SECONDS
from survlstm.data.outcomes.labels import Labels
from survlstm.data.visits import Visits


@dataclass(frozen=True)
class Targets:
    """Per subject that takes part, numbered among the cohort's by ``subject``: visits 0..``visits_seen``-1 and labels.

    ``step`` and ``event`` are those of survlstm.survival.steps; ``duration_days`` and ``edge_days`` those of
    ``Tensors``. ``oracle_hazard`` is that of every visit of the cohort. ``exclusions`` are those of the clock.
    """

    subject: Int64[np.ndarray, " subject"]
    visits_seen: Int64[np.ndarray, " subject"]
    step: Int64[np.ndarray, " subject"]
    event: Bool[np.ndarray, " subject"]
    duration_days: Float64[np.ndarray, " subject"]
    edge_days: Float64[np.ndarray, " edge"]
    oracle_hazard: Float32[np.ndarray, " visit"] | None
    exclusions: tuple[Exclusion, ...]


def visit_targets(visits: Visits, labels: Labels) -> Targets:
    """The labels as they are: a step a visit, time zero at the first visit, the visits up to the last at-risk step."""
    return Targets(
        subject=np.arange(len(labels.step)),
        visits_seen=labels.step + 1,
        step=labels.step,
        event=labels.event,
        duration_days=days_between(visits.visit_time[visits.visit_offsets[:-1]], labels.end_time),
        edge_days=np.empty(0),
        oracle_hazard=labels.oracle_hazard,
        exclusions=(),
    )


def days_between(start: np.ndarray, end: np.ndarray) -> Float64[np.ndarray, " subject"]:
    """Days from one time to another, both datetime64[s]."""
    return (end - start).astype("timedelta64[s]").astype(np.int64) / DAY_SECONDS
