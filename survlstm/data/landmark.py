"""Visits and labels → the landmark of each subject, who is at risk there, and labels on the landmark clock."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int8, Int64

from survlstm.data.cohort import apply_exclusions, refuse_empty_cohort
from survlstm.data.known_times import DAY_SECONDS
from survlstm.data.outcomes.labels import Labels
from survlstm.data.split import Split
from survlstm.data.targets import Targets, days_between
from survlstm.data.visits import Visits
from survlstm.utils.errors import OutcomeError


@dataclass(frozen=True)
class LandmarkSettings:
    """Where the landmark lies, ``day`` days after the first visit or at visit ``visit`` (0 = first), and its steps.

    One of ``day`` and ``visit`` is None. There are ``intervals`` steps after the landmark, the last of which ends at
    ``horizon_days``; ``edges`` says how the others are laid: *equidistant* or *quantile*.
    """

    day: float | None
    visit: int | None
    intervals: int
    edges: str
    horizon_days: float

    @property
    def place(self) -> str:
        """The landmark as it is written in the config."""
        return f"clock.visit={self.visit}" if self.day is None else f"clock.day={self.day:g}"


def landmark_time(visits: Visits, settings: LandmarkSettings) -> np.ndarray:
    """datetime64[s] [subject]: the landmark; NaT where a subject has no such visit."""
    first, number = visits.visit_offsets[:-1], visits.visits_per_subject
    reached = number > (settings.visit or 0)
    landmark = np.full(len(number), np.datetime64("NaT"), dtype="datetime64[s]")
    landmark[reached] = visits.visit_time[first[reached] + (settings.visit or 0)]
    return landmark + np.timedelta64(round((settings.day or 0.0) * DAY_SECONDS), "s")


def landmark_targets(
    visits: Visits,
    labels: Labels,
    landmark: np.ndarray,
    split: Int8[np.ndarray, " subject"],
    settings: LandmarkSettings,
    *,
    min_visits: int,
    edge_days: Float64[np.ndarray, " edge"] | None,
) -> Targets:
    """Those at risk at the landmark with ``min_visits`` visits by then, their history and their labels.

    The history is every visit dated on or before the landmark; visits must not reach across it. Without ``edge_days``
    the edges are fitted on the training subjects at risk. Raises CohortError where nobody is at risk, OutcomeError
    where no training subject has the event between the landmark and the horizon.
    """
    owner = visits.visit_subject
    seen = np.bincount(owner[visits.visit_time <= landmark[owner]], minlength=len(landmark))
    at_risk, gone = apply_exclusions(
        (
            # A comparison with NaT is false: who has no landmark is not at risk at it.
            ("event or end of follow-up at or before the landmark", ~(labels.end_time > landmark)),
            (f"fewer than {min_visits} visits on or before the landmark", seen < min_visits),
        ),
        labels.event,
    )
    refuse_empty_cohort(at_risk, gone, f"Set another landmark (now {settings.place}) or lower data.min_visits")
    duration_days = np.where(at_risk, days_between(landmark, labels.end_time), 0.0)
    if edge_days is None:
        is_training = at_risk & (split == Split.TRAIN)
        edge_days = fit_edges(duration_days[is_training], labels.event[is_training], settings)
    step, event = interval_labels(duration_days, labels.event, edge_days)
    takes_part, unobserved = apply_exclusions(
        (("censored before the first edge: no interval fully observed", step < 0),), labels.event, among=at_risk
    )
    refuse_empty_cohort(
        takes_part, gone + unobserved, "Raise clock.intervals: the first one is observed in full by nobody"
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
        exclusions=gone + unobserved,
    )


def interval_labels(
    duration_days: Float64[np.ndarray, " subject"],
    event: Bool[np.ndarray, " subject"],
    edge_days: Float64[np.ndarray, " edge"],
) -> tuple[Int64[np.ndarray, " subject"], Bool[np.ndarray, " subject"]]:
    """``step`` and ``event`` of survlstm.survival.steps; step k is (edge_k, edge_k+1] days after the landmark.

    An event behind the last edge is censored at the last step. -1 where no interval is fully observed.
    """
    within = event & (duration_days <= edge_days[-1])
    holds_event = np.searchsorted(edge_days, duration_days, side="left") - 1
    last_survived = np.searchsorted(edge_days, duration_days, side="right") - 2
    return np.where(within, holds_event, last_survived), within


def fit_edges(
    duration_days: Float64[np.ndarray, " training"], event: Bool[np.ndarray, " training"], settings: LandmarkSettings
) -> Float64[np.ndarray, " edge"]:
    """0 = the landmark, then the end of each interval in days after it, the last at the horizon.

    *quantile* lays them so that each interval has about the same share of the training events up to the horizon, at
    the end of whole days. Edges that fall together are refused, not merged: the number of intervals is the size of the
    model's output.
    """
    within = duration_days[event & (duration_days <= settings.horizon_days)]
    if not len(within):
        raise OutcomeError(
            f"the training subjects must have events between the landmark ({settings.place}) and "
            f"clock.horizon_days={settings.horizon_days:g} days after it; found 0 among {len(event)} at risk "
            f"({int(event.sum())} behind the horizon). Set another clock.day or clock.visit, or raise "
            "clock.horizon_days"
        )
    if settings.edges == "equidistant":
        return np.linspace(0, 1, settings.intervals + 1) * settings.horizon_days
    edge_days = _quantile_edges(within, settings.intervals, settings.horizon_days)
    if not _rises(edge_days):
        fits = [n for n in range(2, settings.intervals) if _rises(_quantile_edges(within, n, settings.horizon_days))]
        fewer = f"set clock.intervals={fits[-1]}, which they allow" if fits else "lower clock.intervals"
        raise OutcomeError(
            f"clock.edges=quantile needs training events on enough different days for clock.intervals="
            f"{settings.intervals}; found {len(within)} events on {_days(np.ceil(within))} up to "
            f"clock.horizon_days={settings.horizon_days:g} and {int(event.sum()) - len(within)} events behind it. Set "
            f"a later landmark (now {settings.place}), raise clock.horizon_days, {fewer}, or set "
            "clock.edges=equidistant"
        )
    return edge_days


def _quantile_edges(within: Float64[np.ndarray, " event"], intervals: int, horizon_days: float) -> np.ndarray:
    inner = np.quantile(within, np.linspace(0, 1, intervals + 1)[1:-1], method="higher")
    return np.concatenate([[0.0], np.ceil(inner), [horizon_days]])


def _days(days: np.ndarray) -> str:
    number = len(np.unique(days))
    return f"{number} day{'' if number == 1 else 's'}"


def _rises(edge_days: np.ndarray) -> bool:
    return bool((np.diff(edge_days) > 0).all())
