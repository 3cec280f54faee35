"""Landmark of each subject, and labels in intervals after it (the landmark clock)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int8, Int64

from survlstm.data.cohort import apply_exclusions, refuse_empty_cohort
from survlstm.data.cohort_rules import ExclusionMask
from survlstm.data.known_times import DAY_SECONDS
from survlstm.data.outcomes.labels import refuse_unknown_codes
from survlstm.data.outcomes.protocol import Labels
from survlstm.data.prediction_times import DaysClock
from survlstm.data.split import Split
from survlstm.data.targets import Targets, days_between
from survlstm.data.visits import Visits
from survlstm.utils.errors import OutcomeError


@dataclass(frozen=True)
class LandmarkSettings:
    """Position of the landmark and of the intervals after it.

    At most one of ``day``, ``visit`` and ``first_code`` is set. Without any, the landmark of each subject is given:
    by the file of the cohort, or by the prediction time of a trained model.

    Attributes:
        day: Landmark in days after the first visit.
        visit: Landmark at the time of this visit, counted from 0.
        intervals: Number of steps after the landmark.
        edges: Placement of the edges between the steps: *equidistant* or *quantile*, see ``fit_edges``.
        horizon_days: End of the last step, in days after the landmark.
        first_code: Landmark at the first visit with one of these codes.
    """

    day: float | None
    visit: int | None
    intervals: int
    edges: str
    horizon_days: float
    first_code: tuple[str, ...] | None = None

    @property
    def is_given(self) -> bool:
        """Whether the landmarks are given instead of computed from the visits."""
        return self.day is None and self.visit is None and self.first_code is None

    @property
    def as_override(self) -> str:
        """The landmark as an override of the config, for messages."""
        if self.is_given:
            return "cohort.file with prediction_time"
        if self.first_code is not None:
            return f"clock.first_code=[{','.join(self.first_code)}]"
        return f"clock.visit={self.visit}" if self.day is None else f"clock.day={self.day:g}"


def landmark_time(visits: Visits, settings: LandmarkSettings) -> np.ndarray:
    """Compute the landmark of each subject from its visits.

    Args:
        visits: Visits of all subjects.
        settings: Position of the landmark, which is not given.

    Returns:
        ``datetime64[s]`` [subject]; NaT for a subject without the visit, or without any visit.
    """
    if settings.first_code is not None:
        return _first_code_time(visits, settings.first_code)
    first, number = visits.visit_offsets[:-1], visits.visits_per_subject
    reached = number > (settings.visit or 0)
    landmark = np.full(len(number), np.datetime64("NaT"), dtype="datetime64[s]")
    landmark[reached] = visits.visit_time[first[reached] + (settings.visit or 0)]
    return landmark + np.timedelta64(round((settings.day or 0.0) * DAY_SECONDS), "s")


def _first_code_time(visits: Visits, codes: tuple[str, ...]) -> np.ndarray:
    """Return the time of each subject's first visit with one of the codes, NaT for a subject without one."""
    is_index = np.isin(visits.codes.astype(np.str_), np.array(codes))[visits.code]
    visit = np.repeat(np.arange(len(visits.visit_time)), visits.codes_per_visit)[is_index]
    # Visits are in the order of their subjects and times, so that the first row of a subject is its first visit.
    subject, first = np.unique(visits.visit_subject[visit], return_index=True)
    landmark = np.full(len(visits.subjects), np.datetime64("NaT"), dtype="datetime64[s]")
    landmark[subject] = visits.visit_time[visit[first]]
    return landmark


def landmark_targets(
    visits: Visits,
    labels: Labels,
    landmark: np.ndarray,
    split: Int8[np.ndarray, " subject"],
    settings: LandmarkSettings,
    *,
    min_visits: int,
    edge_days: Float64[np.ndarray, " edge"] | None,
    last: Sequence[ExclusionMask] = (),
) -> Targets:
    """Select the subjects at risk at the landmark and label them on the landmark clock.

    The history of a subject is every visit dated on or before its landmark.

    Args:
        visits: Visits of the cohort; no visit may span the landmark (see ``split_at`` of ``group_visits``).
        labels: Labels of the cohort on the visit clock; ``end_time`` and ``event`` are used.
        landmark: ``datetime64[s]`` [subject], NaT for a subject without a landmark.
        split: ``Split`` of each subject.
        settings: Position of the landmark and of the intervals.
        min_visits: Fewest visits on or before the landmark.
        edge_days: Edges of a trained model; None fits them on the training subjects at risk.
        last: Rules to apply to the subjects at risk, before the edges are fitted; each a reason and the mask of the
            subjects to leave out.

    Returns:
        Targets of the subjects that take part, with the exclusions of the landmark clock.

    Raises:
        CohortError: If no subject is at risk at the landmark, or none is observed to the end of the first interval.
        OutcomeError: If edges can't be fitted, see ``fit_edges``, or no code of ``first_code`` occurs in the records.
    """
    if settings.first_code is not None:
        refuse_unknown_codes(settings.first_code, visits.codes, key="clock.first_code", use="the landmark")
    owner = visits.visit_subject
    seen = np.bincount(owner[visits.visit_time <= landmark[owner]], minlength=len(landmark))
    without = (("no index code (clock.first_code) before the outcome", np.isnat(landmark)),)
    at_risk, not_at_risk = apply_exclusions(
        (
            *(without if settings.first_code is not None else ()),
            # A comparison with NaT is false, so a subject without a landmark is not at risk.
            ("event or end of follow-up at or before the landmark", ~(labels.end_time > landmark)),
            (f"fewer than {min_visits} visits on or before the landmark", seen < min_visits),
            *last,
        ),
        labels.event,
    )
    refuse_empty_cohort(
        at_risk,
        not_at_risk,
        f"Set another landmark (now {settings.as_override}){' or other rules of the cohort,' if last else ''} or lower "
        "data.min_visits",
    )
    duration_days = np.where(at_risk, days_between(landmark, labels.end_time), 0.0)
    if edge_days is None:
        is_training = at_risk & (split == Split.TRAIN)
        edge_days = fit_edges(duration_days[is_training], labels.event[is_training], settings)
    step, event = interval_labels(duration_days, labels.event, edge_days)
    takes_part, unobserved = apply_exclusions(
        (("censored before the first edge: no interval fully observed", step < 0),), labels.event, among=at_risk
    )
    refuse_empty_cohort(
        takes_part, not_at_risk + unobserved, "Raise clock.intervals: no subject is observed to the end of the first"
    )
    subject = np.flatnonzero(takes_part)
    return Targets(
        subject=subject,
        visits_seen=seen[subject],
        step=step[subject],
        event=event[subject],
        duration_days=duration_days[subject],
        edge_days=edge_days,
        oracle_hazard=None,
        exclusions=not_at_risk + unobserved,
    )


def interval_labels(
    duration_days: Float64[np.ndarray, " subject"],
    event: Bool[np.ndarray, " subject"],
    edge_days: Float64[np.ndarray, " edge"],
) -> tuple[Int64[np.ndarray, " subject"], Bool[np.ndarray, " subject"]]:
    """Convert durations to the ``step`` and ``event`` of ``survlstm.survival.steps``.

    Step ``k`` is the interval (``edge_k``, ``edge_{k+1}``] days after the landmark. The tables are those of
    ``docs/conventions.md``, section "Labels".

    Args:
        duration_days: Days from the landmark to the event or the end of follow-up, not negative.
        event: Whether the duration ends with the event.
        edge_days: 0, then the end of each interval, rising.

    Returns:
        The last step at risk, -1 for a subject without a fully observed interval; and whether the event happened in
        that step. A subject with the event after the last edge is censored in the last step.

    Example:
        >>> interval_labels(np.array([30.0, 45.0]), np.array([True, False]), np.array([0.0, 30.0, 60.0]))
        (array([0, 0]), array([ True, False]))
    """
    within = event & (duration_days <= edge_days[-1])
    # The sides differ at an edge: an event on it belongs to the interval that it ends; a subject censored on it has
    # survived that interval.
    event_step = np.searchsorted(edge_days, duration_days, side="left") - 1
    last_survived = np.searchsorted(edge_days, duration_days, side="right") - 2
    return np.where(within, event_step, last_survived), within


def fit_edges(
    duration_days: Float64[np.ndarray, " training"],
    event: Bool[np.ndarray, " training"],
    settings: LandmarkSettings | DaysClock,
) -> Float64[np.ndarray, " edge"]:
    """Place the edges of the intervals after the landmark.

    *equidistant* intervals have the same length. *quantile* intervals have about the same number of training events up
    to the horizon, and their edges are the ends of whole days. Equal edges raise an error and are not merged, because
    the number of intervals is the size of the model's output.

    Args:
        duration_days: Days from the landmark, or from each prediction time, to the event or the end of follow-up, of
            the training subjects at risk.
        event: Whether the duration ends with the event.
        settings: Number and placement of the intervals.

    Returns:
        0 (the landmark), then the end of each interval in days after it; the last is ``settings.horizon_days``.

    Raises:
        OutcomeError: If no training subject has the event up to the horizon, or events fall on too few different days
            for *quantile* edges.
    """
    within = duration_days[event & (duration_days <= settings.horizon_days)]
    zero = "landmark" if isinstance(settings, LandmarkSettings) else "prediction time"
    if not len(within):
        raise OutcomeError(
            f"the training subjects must have events between the {zero} ({settings.as_override}) and "
            f"clock.horizon_days={settings.horizon_days:g} days after it; found 0 among {len(event)} at risk "
            f"({int(event.sum())} after the horizon). Set another {zero}, or raise clock.horizon_days"
        )
    if settings.edges == "equidistant":
        return np.linspace(0, 1, settings.intervals + 1) * settings.horizon_days
    edge_days = _quantile_edges(within, settings.intervals, settings.horizon_days)
    if not _rises(edge_days):
        possible = [
            n for n in range(2, settings.intervals) if _rises(_quantile_edges(within, n, settings.horizon_days))
        ]
        fewer = f"set clock.intervals={possible[-1]}, which they allow" if possible else "lower clock.intervals"
        raise OutcomeError(
            f"clock.edges=quantile needs training events on enough different days for clock.intervals="
            f"{settings.intervals}; found {len(within)} events on {_days(np.ceil(within))} up to "
            f"clock.horizon_days={settings.horizon_days:g} and {int(event.sum()) - len(within)} events after it. Set "
            f"a later {zero} (now {settings.as_override}), raise clock.horizon_days, {fewer}, or set "
            "clock.edges=equidistant"
        )
    return edge_days


def _quantile_edges(within: Float64[np.ndarray, " event"], intervals: int, horizon_days: float) -> np.ndarray:
    # "higher" makes each inner edge the time of an event; the end of its day is then the edge.
    inner = np.quantile(within, np.linspace(0, 1, intervals + 1)[1:-1], method="higher")
    return np.concatenate([[0.0], np.ceil(inner), [horizon_days]])


def _days(days: np.ndarray) -> str:
    """Write the number of different days, for a message."""
    number = len(np.unique(days))
    return f"{number} day{'' if number == 1 else 's'}"


def _rises(edge_days: np.ndarray) -> bool:
    """Tell whether each edge is later than the one before."""
    return bool((np.diff(edge_days) > 0).all())
