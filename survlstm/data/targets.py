"""Training targets on the clock of the run, and the visits that may be seen for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from survlstm.data.cohort import Exclusion
from survlstm.data.features import DAY_SECONDS
from survlstm.data.outcomes.protocol import Labels
from survlstm.data.visits import Visits


@dataclass(frozen=True)
class Targets:
    """Targets of the subjects that take part, on the visit clock or on the landmark clock.

    Attributes:
        subject: Index of each subject that takes part among the subjects of the cohort.
        visits_seen: Number of visits from the first that a model may see.
        step: Last step at risk, see ``survlstm.survival.steps``.
        event: Whether the event happened in that step.
        duration_days: Days from the clock's time zero to the event or the end of follow-up, see ``Tensors``.
        edge_days: Edges of the landmark clock in days after the landmark; empty on the visit clock.
        oracle_hazard: Hazard that drew the outcome at every visit of the *cohort*, not only of those seen; None if the
            outcome was not drawn, and on the landmark clock.
        exclusions: Subjects that the clock's own rules left out.
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
    """Take over the labels of the visit clock.

    A step lasts from one visit to the next, time zero is the first visit, and the visits up to the last step at risk
    may be seen.

    Args:
        visits: Visits of the cohort.
        labels: Labels of the same subjects.

    Returns:
        Targets of all subjects of the cohort, in its order; no subject is excluded.
    """
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
    """Compute the days between two times, negative if ``end`` comes first.

    Args:
        start: ``datetime64[s]`` [subject].
        end: ``datetime64[s]`` [subject].

    Returns:
        Days with fractions; the number has no meaning where one of the times is NaT.
    """
    return (end - start).astype("timedelta64[s]").astype(np.int64) / DAY_SECONDS
