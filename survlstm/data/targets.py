"""Training targets on the clock of the run, and the visits that may be seen for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int8, Int64

from survlstm.data.cohort import Exclusion
from survlstm.data.features import DAY_SECONDS
from survlstm.data.outcomes.protocol import Labels
from survlstm.data.visits import Visits


@dataclass(frozen=True)
class TargetRows:
    """The prediction times that take part, on the days clock.

    Attributes:
        subject: Index of the subject of each row into ``Targets.subject``, rising.
        visits: Number of visits on or before the prediction time.
        time: ``datetime64[s]`` [row], the prediction times, rising within a subject and kind.
        kind: 0 for a row to train on, n for the n-th rule of ``evaluation.times``.
        exposure: Share of the interval after ``Targets.step`` that a censored row was observed in; 0 for an event, and
            after the last interval.
        left_out: Number of rows that do not take part, by reason.
        warnings: Sentences on the rows.
    """

    subject: Int64[np.ndarray, " row"]
    visits: Int64[np.ndarray, " row"]
    time: np.ndarray
    kind: Int8[np.ndarray, " row"]
    exposure: Float64[np.ndarray, " row"]
    left_out: dict[str, int]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Targets:
    """Targets of the subjects that take part.

    On the days clock a subject has one row per prediction time; on the other clocks a row is a subject.

    Attributes:
        subject: Index of each subject that takes part among the subjects of the cohort.
        visits_seen: Number of visits from the first that a model may see, at the latest row of the subject.
        step: Last step at risk, see ``survlstm.survival.steps``.
        event: Whether the event happened in that step.
        duration_days: Days from the clock's time zero to the event or the end of follow-up, see ``Tensors``.
        edge_days: Edges of the landmark clock and of the days clock; empty on the visit clock.
        oracle_hazard: Hazard that drew the outcome at every visit of the *cohort*, not only of those seen; None if the
            outcome was not drawn, and on the landmark clock.
        exclusions: Subjects that the clock's own rules left out.
        rows: The prediction times of the days clock; None on the other clocks.
    """

    subject: Int64[np.ndarray, " subject"]
    visits_seen: Int64[np.ndarray, " subject"]
    step: Int64[np.ndarray, " row"]
    event: Bool[np.ndarray, " row"]
    duration_days: Float64[np.ndarray, " row"]
    edge_days: Float64[np.ndarray, " edge"]
    oracle_hazard: Float32[np.ndarray, " visit"] | None
    exclusions: tuple[Exclusion, ...]
    rows: TargetRows | None = None


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
