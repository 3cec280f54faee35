"""Visits and follow-up → the subjects that take part, with every exclusion counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64

from survlstm.data.outcomes.labels import ObservedFollowUp
from survlstm.data.visits import Visits, cut_visits
from survlstm.utils.errors import CohortError


class Exclusion(NamedTuple):
    """How many subjects a rule left out, of those that the rules before it let through, and how many had the event."""

    reason: str
    subjects: int
    events: int


class Cohort(NamedTuple):
    """The observed visits of the eligible subjects, and their numbers among all subjects."""

    visits: Visits
    subject: Int64[np.ndarray, " eligible"]
    exclusions: tuple[Exclusion, ...]


def select_cohort(visits: Visits, follow_up: ObservedFollowUp, *, min_visits: int) -> Cohort:
    """Subjects with at least ``min_visits`` *observed* visits, not prevalent, each cut to its observed visits.

    Only observed visits count: a rule that counted the whole record would look behind the event. So a subject whose
    outcome comes before that many visits is left out too, and the hazard of the first steps is that of those who
    got so far; the events lost this way are counted.
    """
    observed: Int64[np.ndarray, " subject"] = follow_up.visits
    rules = (
        ("no visit", observed == 0),
        ("outcome at the first visit (prevalent)", follow_up.prevalent),
        (f"fewer than {min_visits} observed visits", observed < min_visits),
        ("no step at risk: no follow-up", follow_up.steps < 1),
    )
    eligible, exclusions = apply_exclusions(rules, follow_up.event)
    refuse_empty_cohort(eligible, exclusions, "Lower data.min_visits or check data.path and the outcome")
    subject = np.flatnonzero(eligible)
    return Cohort(cut_visits(visits, subject, stop=observed[subject]), subject, exclusions)


def apply_exclusions(
    rules: Sequence[tuple[str, Bool[np.ndarray, " subject"]]],
    event: Bool[np.ndarray, " subject"],
    *,
    among: Bool[np.ndarray, " subject"] | None = None,
) -> tuple[Bool[np.ndarray, " subject"], tuple[Exclusion, ...]]:
    """Who is left of ``among`` (None: of all) when each rule, in order, has left out those it holds for."""
    left = np.ones(len(event), dtype=bool) if among is None else among.copy()
    exclusions = []
    for reason, holds in rules:
        gone = left & holds
        exclusions.append(Exclusion(reason, int(gone.sum()), int((gone & event).sum())))
        left &= ~holds
    return left, tuple(exclusions)


def refuse_empty_cohort(left: Bool[np.ndarray, " subject"], exclusions: tuple[Exclusion, ...], advice: str) -> None:
    """CohortError with the exclusions and what to change, where nobody is left."""
    if left.any():
        return
    table = ", ".join(
        f"{rule.reason}: {rule.subjects}, with the event {rule.events}" for rule in exclusions if rule.subjects
    )
    raise CohortError(f"at least one subject must take part; found none of {len(left)} ({table}). {advice}")
