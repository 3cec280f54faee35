"""Selection of the eligible subjects, with a count for every exclusion rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64

from survlstm.data.cohort_rules import ExclusionMask
from survlstm.data.outcomes.protocol import ObservedFollowUp
from survlstm.data.visits import Visits, cut_visits
from survlstm.utils.errors import CohortError


class Exclusion(NamedTuple):
    """Count of the subjects that one rule left out, after the rules before it.

    Attributes:
        reason: The rule, in words.
        subjects: Number of subjects that it left out.
        events: Number of these subjects with the event.
    """

    reason: str
    subjects: int
    events: int


class Cohort(NamedTuple):
    """Eligible subjects and their observed visits.

    Attributes:
        visits: Observed visits of the eligible subjects only.
        subject: Index of each eligible subject among all subjects of the source.
        exclusions: One entry per rule, in the order in which the rules were applied.
    """

    visits: Visits
    subject: Int64[np.ndarray, " eligible"]
    exclusions: tuple[Exclusion, ...]


def select_cohort(
    visits: Visits,
    follow_up: ObservedFollowUp,
    *,
    min_visits: int,
    on_visits: bool,
    first: Sequence[ExclusionMask] = (),
    last: Sequence[ExclusionMask] = (),
) -> Cohort:
    """Select the subjects with enough observed visits and a step at risk, and cut their records to observed visits.

    Only observed visits count, because a rule on the whole record would use what happens after the event. A subject
    with the outcome before ``min_visits`` visits is therefore left out too. The hazard of the first steps is that of
    subjects who reach ``min_visits`` visits; the events that are lost are counted.

    Args:
        visits: Visits of all subjects of the source.
        follow_up: Observed follow-up of the same subjects.
        min_visits: Fewest observed visits of an eligible subject.
        on_visits: Whether the clock is the visit clock, on which follow-up ends with the last visit.
        first: Rules to apply before all others, each a reason and the mask of the subjects to leave out.
        last: Rules to apply after all others.

    Returns:
        The eligible subjects, their visits and the exclusions.

    Raises:
        CohortError: If no subject is eligible.
    """
    observed: Int64[np.ndarray, " subject"] = follow_up.visits
    is_followed = follow_up.steps >= 1
    if not on_visits and follow_up.continues is not None:
        is_followed = is_followed | follow_up.continues
    rules = (
        *first,
        ("no visit", observed == 0),
        ("outcome at the first visit (prevalent)", follow_up.prevalent),
        (f"fewer than {min_visits} observed visits", observed < min_visits),
        ("no step at risk: no follow-up", ~is_followed),
        *last,
    )
    eligible, exclusions = apply_exclusions(rules, follow_up.event)
    refuse_empty_cohort(eligible, exclusions, _advice(first, last))
    subject = np.flatnonzero(eligible)
    return Cohort(cut_visits(visits, subject, stop=observed[subject]), subject, exclusions)


def _advice(first: Sequence[ExclusionMask], last: Sequence[ExclusionMask]) -> str:
    cohort = ", the section cohort" if first or last else ""
    return f"Lower data.min_visits or check data.path{cohort} and the outcome"


def apply_exclusions(
    rules: Sequence[ExclusionMask],
    event: Bool[np.ndarray, " subject"],
    *,
    among: Bool[np.ndarray, " subject"] | None = None,
) -> tuple[Bool[np.ndarray, " subject"], tuple[Exclusion, ...]]:
    """Apply exclusion rules one after the other and count the subjects that each leaves out.

    Args:
        rules: Reason and mask of each rule, in order; the mask is true for the subjects to leave out.
        event: Whether each subject has the event, for the counts.
        among: Subjects that the rules apply to; None for all.

    Returns:
        The mask of the subjects that remain, and one count per rule.
    """
    left = np.ones(len(event), dtype=bool) if among is None else among.copy()
    exclusions = []
    for reason, applies in rules:
        excluded = left & applies
        exclusions.append(Exclusion(reason, int(excluded.sum()), int((excluded & event).sum())))
        left &= ~applies
    return left, tuple(exclusions)


def refuse_empty_cohort(left: Bool[np.ndarray, " subject"], exclusions: tuple[Exclusion, ...], advice: str) -> None:
    """Raise an error with the exclusions if no subject is left.

    Args:
        left: Mask of the subjects that remain.
        exclusions: Counts for the message; rules that left nobody out are not mentioned.
        advice: Last sentence of the message: what to change.

    Raises:
        CohortError: If ``left`` is false for all subjects.
    """
    if left.any():
        return
    table = ", ".join(
        f"{rule.reason}: {rule.subjects}, with the event {rule.events}" for rule in exclusions if rule.subjects
    )
    raise CohortError(f"at least one subject must take part; found none of {len(left)} ({table}). {advice}")
