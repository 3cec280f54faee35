"""Visits → labels drawn step by step from a hazard: one that follows the history, and one that ignores it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int64

from survlstm.data.events import Events
from survlstm.data.known_times import KnownTimes
from survlstm.data.outcomes.labels import (
    Labels,
    ObservedFollowUp,
    limits_at_death,
    refuse_unknown_codes,
    step_end_times,
)
from survlstm.data.split import subject_key
from survlstm.data.visits import Visits
from survlstm.survival.concordance import concordance_td
from survlstm.utils.errors import OutcomeError

YEAR_SECONDS = 365.25 * 86400
RATE_TOLERANCE = 0.02
WEAKEST_CORRELATION = -0.3


class _DrawnOutcome:
    """What the drawn outcomes share: they are drawn on the whole record."""

    def observed(self, events: Events, times: KnownTimes) -> Bool[np.ndarray, " event"]:
        """Everything up to the day of death."""
        return limits_at_death(events).contain(times, events.subject)

    def follow_up(self, visits: Visits) -> ObservedFollowUp:
        """The whole record: the outcome is drawn on it afterwards."""
        none = np.zeros(len(visits.subjects), dtype=bool)
        never = np.full(len(none), np.datetime64("NaT"), dtype="datetime64[s]")
        return ObservedFollowUp(
            visits.visits_per_subject, visits.visits_per_subject - 1, event=none, prevalent=none, event_time=never
        )


@dataclass(frozen=True)
class RandomOutcome(_DrawnOutcome):
    """The same hazard at every visit step of every subject.

    So it ignores history where time is counted in visits. Counted in days it does not: who comes often has more steps
    in a year, and the history tells who comes often.
    """

    event_rate: float
    censoring_chance: float
    seed: int

    def label(self, visits: Visits, *, is_training: Bool[np.ndarray, " subject"]) -> Labels:
        """Event and censoring drawn step by step."""
        effect = np.zeros(len(visits.visit_time))
        labels = draw_labels(
            visits,
            effect,
            event_rate=self.event_rate,
            censoring_chance=self.censoring_chance,
            seed=self.seed,
            is_training=is_training,
        )
        return replace(labels, warnings=_rate_warning(labels.facts))


@dataclass(frozen=True)
class SyntheticOutcome(_DrawnOutcome):
    """logit h_j = intercept + effect · risk_j, with risk_j from visits 0..j only.

    risk is the weighted sum of comorbidity (codes per visit so far), frequency (visits per year so far) and repetition
    (1 - share of distinct codes so far), each taken to normal scores by its rank: raw, their tails swamp everything.
    With ``planted_codes`` it is in their place how many of those codes the history holds, each counted once: what an
    explanation of a model must then find is known. Ranks, scale and intercept are those of the training subjects, each
    subject weighing the same.
    """

    event_rate: float
    effect: float
    comorbidity_weight: float
    frequency_weight: float
    repetition_weight: float
    censoring_chance: float
    seed: int
    planted_codes: list[str]

    def label(self, visits: Visits, *, is_training: Bool[np.ndarray, " subject"]) -> Labels:
        """Event and censoring drawn step by step; the facts say whether the outcome is fit to learn from."""
        risk = self.risk(visits, is_training=is_training)
        labels = draw_labels(
            visits,
            self.effect * risk,
            event_rate=self.event_rate,
            censoring_chance=self.censoring_chance,
            seed=self.seed,
            is_training=is_training,
        )
        correlation = _risk_time_correlation(visits, risk, labels)
        facts = {
            **labels.facts,
            "risk_time_correlation": correlation,
            "oracle_c_td": oracle_concordance(visits, labels),
        }
        absent = [code for code in self.planted_codes if code not in visits.codes]
        warnings = _rate_warning(facts)
        if absent:
            warnings = (f"outcome.planted_codes: {', '.join(absent)} occur nowhere in the export", *warnings)
        if not correlation < WEAKEST_CORRELATION:
            warnings += (
                f"the correlation of mean risk with event step must be below {WEAKEST_CORRELATION}; found "
                f"{correlation:.3f}: there is little to learn. Raise outcome.effect (now {self.effect:g}) or lower "
                "outcome.event_rate",
            )
        return replace(labels, facts=facts, warnings=warnings)

    def risk(self, visits: Visits, *, is_training: Bool[np.ndarray, " subject"]) -> Float[np.ndarray, " visit"]:
        """Standardised risk at each visit, from that visit and those before it."""
        owner = visits.visit_subject
        weight = np.where(is_training[owner], 1.0 / visits.visits_per_subject[owner], 0.0)
        factors = self._planted(visits) if self.planted_codes else self._burden(visits)
        risk = sum(share * _normal_scores(factor, weight) for share, factor in factors)
        mean = np.average(risk, weights=weight)
        spread = np.sqrt(np.average(np.square(risk - mean), weights=weight))
        if not spread > 0:
            mend = (
                "Name in outcome.planted_codes what some of them know and others do not"
                if self.planted_codes
                else "Give weight to another of outcome.comorbidity_weight, outcome.frequency_weight and "
                "outcome.repetition_weight"
            )
            raise OutcomeError(
                f"the synthetic risk must differ between training visits; found the same everywhere. {mend}"
            )
        return (risk - mean) / spread

    def _burden(self, visits: Visits) -> list[tuple[float, np.ndarray]]:
        weights = (self.comorbidity_weight, self.frequency_weight, self.repetition_weight)
        return list(zip(weights, history_factors(visits), strict=True))

    def _planted(self, visits: Visits) -> list[tuple[float, np.ndarray]]:
        refuse_unknown_codes(self.planted_codes, visits.codes, key="outcome.planted_codes")
        is_planted = np.isin(visits.codes, self.planted_codes)[visits.code]
        return [(1.0, distinct_code_counts(visits, is_planted))]


def history_factors(visits: Visits) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes per visit, visits per year and share of repeated codes, of the history up to each visit.

    A year is added to the time behind the frequency: the first visits would else have no end of visits per year.
    """
    owner = visits.visit_subject
    first_visit = visits.visit_offsets[:-1][owner]
    number = np.arange(len(owner)) - first_visit + 1
    codes_before = visits.code_offsets[:-1][first_visit]
    codes = visits.code_offsets[1:] - codes_before
    seconds = visits.visit_time.astype("datetime64[s]").astype(np.int64)
    years = (seconds - seconds[first_visit]) / YEAR_SECONDS
    distinct = distinct_code_counts(visits, np.ones(len(visits.code), dtype=bool))
    return codes / number, number / (1 + years), 1 - distinct / codes


def distinct_code_counts(visits: Visits, counted: Bool[np.ndarray, " code"]) -> Float[np.ndarray, " visit"]:
    """How many different codes the history up to each visit holds, of the entries that are ``counted``."""
    owner = visits.visit_subject
    entry = np.flatnonzero(counted)
    code_owner = np.repeat(owner, visits.codes_per_visit)[entry]
    _, first_seen = np.unique(code_owner * len(visits.codes) + visits.code[entry], return_index=True)
    is_new = np.zeros(len(visits.code) + 1)
    is_new[entry[first_seen] + 1] = 1
    new_codes = np.cumsum(is_new)
    before = visits.code_offsets[:-1][visits.visit_offsets[:-1][owner]]
    return new_codes[visits.code_offsets[1:]] - new_codes[before]


def draw_labels(
    visits: Visits,
    effect: Float[np.ndarray, " visit"],
    *,
    event_rate: float,
    censoring_chance: float,
    seed: int,
    is_training: Bool[np.ndarray, " subject"],
) -> Labels:
    """Step by step: the event with ``expit(intercept + effect)``, else censoring with its chance, else the next step.

    The record ends at step n-2. A subject's draws hang on its id and the seed only. Event at step j means
    ``logit(uniform_j) < intercept + effect_j``, so each subject has an intercept at which its first event appears, and
    the intercept that meets the event rate is the quantile of those among the training subjects.
    """
    from scipy.special import expit, logit

    steps = visits.visits_per_subject - 1
    first_visit, owner = visits.visit_offsets[:-1], visits.visit_subject
    uniform = np.ones((2, len(owner)))
    for subject, name in enumerate(visits.subjects.subject_id):
        generator = np.random.Generator(np.random.Philox(key=subject_key(str(name), seed=seed, purpose="outcome")))
        visits_here = slice(first_visit[subject], first_visit[subject] + steps[subject])
        # A row per step: the draws of a step don't move when the record grows behind it.
        uniform[:, visits_here] = generator.random((steps[subject], 2)).T
    number = np.arange(len(owner)) - first_visit[owner]
    at_risk = number < steps[owner]
    end = _first_step(at_risk & (uniform[1] < censoring_chance), visits, otherwise=steps - 1)
    needed = np.where(at_risk & (number <= end[owner]), logit(uniform[0]) - effect, np.inf)
    first_needed = np.minimum.reduceat(needed, first_visit)
    intercept = float(np.quantile(first_needed[is_training], event_rate, method="linear"))
    event = first_needed < intercept
    step = np.where(event, _first_step(needed < intercept, visits, otherwise=end), end)
    facts = {
        "event_rate": float(event.mean()),
        "event_rate_train": float(event[is_training].mean()),
        "asked_event_rate": event_rate,
        "median_step": float(np.median(step)),
        "intercept": intercept,
    }
    oracle_hazard = expit(intercept + effect).astype(np.float32)
    return Labels(step, event, step_end_times(visits, step), oracle_hazard, facts)


def oracle_concordance(visits: Visits, labels: Labels) -> float:
    """``c_td`` of the hazards that drew the outcome: what a perfect model would reach."""
    assert labels.oracle_hazard is not None, "a drawn outcome knows its hazards"
    hazard = padded_hazard(labels.oracle_hazard, visits.visit_offsets[:-1], labels.step)
    return concordance_td(np.cumprod(1 - hazard, axis=1), step=labels.step, event=labels.event).c_td


def padded_hazard(
    hazard: Float[np.ndarray, " visit"], first_visit: Int64[np.ndarray, " subject"], step: Int64[np.ndarray, " subject"]
) -> Float[np.ndarray, "subject step"]:
    """Hazards of steps 0..step in a row per subject; 0 behind them."""
    number = np.arange(int(step.max()) + 1)
    at_risk = number <= step[:, None]
    place = np.where(at_risk, first_visit[:, None] + number, 0)
    return np.where(at_risk, hazard[place].astype(np.float64), 0.0)


def _first_step(
    here: Bool[np.ndarray, " visit"], visits: Visits, *, otherwise: Int64[np.ndarray, " subject"]
) -> Int64[np.ndarray, " subject"]:
    visit = np.flatnonzero(here)
    subject = visits.visit_subject[visit]
    first = otherwise.copy()
    np.minimum.at(first, subject, visit - visits.visit_offsets[:-1][subject])
    return first


def _normal_scores(
    factor: Float[np.ndarray, " visit"], weight: Float[np.ndarray, " visit"]
) -> Float[np.ndarray, " visit"]:
    """Normal quantile of the mid-rank among the weighted visits; half a subject at either end keeps it finite."""
    from scipy.special import ndtri

    _, place = np.unique(factor, return_inverse=True)
    at = np.bincount(place, weight)
    below = np.cumsum(at) - at
    return ndtri((below + 0.5 * at + 0.5) / (at.sum() + 1))[place]


def _risk_time_correlation(visits: Visits, risk: Float[np.ndarray, " visit"], labels: Labels) -> float:
    """Pearson's r of the mean risk over the at-risk steps with the event step, among subjects with an event."""
    at_risk = (
        np.arange(len(risk)) - visits.visit_offsets[:-1][visits.visit_subject] <= labels.step[visits.visit_subject]
    )
    mean_risk = np.add.reduceat(np.where(at_risk, risk, 0.0), visits.visit_offsets[:-1]) / (labels.step + 1)
    cases = labels.event
    if cases.sum() < 3 or np.ptp(labels.step[cases]) == 0:
        return float("nan")
    return float(np.corrcoef(mean_risk[cases], labels.step[cases])[0, 1])


def _rate_warning(facts: dict[str, float]) -> tuple[str, ...]:
    found, asked = facts["event_rate"], facts["asked_event_rate"]
    if abs(found - asked) <= RATE_TOLERANCE:
        return ()
    return (
        f"the event rate must lie within {RATE_TOLERANCE:.0%} of outcome.event_rate={asked:g}; found {found:.3f} "
        f"(training subjects {facts['event_rate_train']:.3f}): censoring leaves too few steps, or the cohort is small. "
        "Lower outcome.event_rate or outcome.censoring_chance, or use more subjects",
    )
