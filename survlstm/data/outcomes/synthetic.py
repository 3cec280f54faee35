"""Synthetic outcomes, drawn step by step from a hazard that depends on the history or is the same everywhere.

See ``docs/conventions.md``, section "Synthetic outcomes".
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int64

from survlstm.data.events import Events
from survlstm.data.features import distinct_code_counts
from survlstm.data.known_times import KnownTimes
from survlstm.data.outcomes.drawing import draw_labels
from survlstm.data.outcomes.history_risk import (
    history_factors,
    last_value_risk,
    normal_scores,
    unranked_entries,
)
from survlstm.data.outcomes.labels import record_limits, refuse_unknown_codes
from survlstm.data.outcomes.protocol import Labels, ObservedFollowUp
from survlstm.data.outcomes.sequence_risk import (
    SequenceCodes,
    choose_sequence_codes,
    fading_count,
    order_state,
    rate_rise,
)
from survlstm.data.visits import Visits
from survlstm.survival.concordance import concordance_td
from survlstm.utils.errors import OutcomeError

# Largest difference between the event rate drawn and the one requested that gives no warning.
RATE_TOLERANCE = 0.02
# A correlation of mean risk with event step above this gives a warning.
WEAKEST_CORRELATION = -0.3


class _DrawnOutcome:
    """Observation and follow-up of outcomes that are drawn on the whole record up to the death."""

    def observed(self, events: Events, times: KnownTimes) -> Bool[np.ndarray, " event"]:
        """Mark all entries up to the day of death and the end of observation."""
        return record_limits(events).contain(times, events.subject)

    def follow_up(self, visits: Visits) -> ObservedFollowUp:
        """Observe all visits without an event; the outcome is drawn afterwards."""
        none = np.zeros(len(visits.subjects), dtype=bool)
        never = np.full(len(none), np.datetime64("NaT"), dtype="datetime64[s]")
        return ObservedFollowUp(
            visits.visits_per_subject, visits.visits_per_subject - 1, event=none, prevalent=none, event_time=never
        )


@dataclass(frozen=True)
class RandomOutcome(_DrawnOutcome):
    """Outcome with the same hazard in every step of every subject.

    With time counted in visits, it does not depend on the history. With time counted in days, it does: a subject with
    frequent visits has more steps in a year, and the history shows how frequent its visits are.

    Attributes:
        event_rate: Share of training subjects with the event.
        censoring_chance: Probability of censoring in each step without the event.
        seed: Seed of the draws.
    """

    event_rate: float
    censoring_chance: float
    seed: int

    def label(self, visits: Visits, *, is_training: Bool[np.ndarray, " subject"]) -> Labels:
        """Draw event and censoring step by step.

        Args:
            visits: Observed visits of the cohort, at least two of each subject.
            is_training: Training subjects, on which the intercept is fitted.

        Returns:
            Labels with the hazard drawn from, which is the same at every visit, and a warning if the event rate differs
            by more than ``RATE_TOLERANCE`` from the requested one.
        """
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
    """Outcome whose hazard depends on the history: ``logit h_j = intercept + effect * risk_j``.

    ``risk_j`` is computed from visits 0 to ``j`` only. It is the weighted sum of comorbidity (codes per visit so far),
    frequency (visits per year so far) and repetition (1 - share of distinct codes so far). Each is transformed to
    normal scores by its rank, because the tails of the raw values would dominate the sum. With ``planted_codes``, the
    number of those codes in the history, each counted once, takes their place; what an explanation of a model must find
    is then known. With ``planted_values``, the mean score of the last values of those codes takes their place. With
    ``mechanism="sequence"``, the order of pairs of codes, a fading count and the rise of the visit rate take their
    place: records with the same counts then differ in risk, see ``survlstm.data.outcomes.sequence_risk``. Ranks, scale
    and intercept are fitted on the training subjects, and each subject has the same weight.

    Attributes:
        event_rate: Share of training subjects with the event.
        effect: Log-odds of the hazard per standard deviation of the risk.
        comorbidity_weight: Weight of the codes per visit.
        frequency_weight: Weight of the visits per year.
        repetition_weight: Weight of the share of repeated codes.
        censoring_chance: Probability of censoring in each step without the event.
        seed: Seed of the draws.
        planted_codes: Codes that alone determine the risk; empty to use the three weights.
        planted_values: Codes whose last values alone determine the risk, instead of ``planted_codes``; empty for none.
        mechanism: What determines the risk: counts (or what is planted), or the sequence.
        order_weight: Weight of the order of the pairs.
        fading_weight: Weight of the fading count.
        rise_weight: Weight of the rise of the visit rate.
        window_days: Largest number of days between the two codes of an ordered pair.
        half_life_days: Days in which the weight of an occurrence in the fading count halves.
        sequence_pairs: Ordered pairs of codes; empty to choose them on the training subjects.
        fading_codes: Codes of the fading count; empty to choose them on the training subjects.
    """

    event_rate: float
    effect: float
    comorbidity_weight: float
    frequency_weight: float
    repetition_weight: float
    censoring_chance: float
    seed: int
    planted_codes: list[str]
    planted_values: list[str] = field(default_factory=list)
    mechanism: Literal["counts", "sequence"] = "counts"
    order_weight: float = 0.9
    fading_weight: float = 0.05
    rise_weight: float = 0.05
    window_days: float = 730.0
    half_life_days: float = 180.0
    sequence_pairs: list[list[str]] = field(default_factory=list)
    fading_codes: list[str] = field(default_factory=list)

    def label(self, visits: Visits, *, is_training: Bool[np.ndarray, " subject"]) -> Labels:
        """Draw event and censoring step by step, and check that a model can learn from the outcome.

        The facts include the correlation of risk and event step, and the C-index of the hazards drawn from.

        Args:
            visits: Observed visits of the cohort, at least two of each subject.
            is_training: Training subjects, on which ranks, scale and intercept are fitted.

        Returns:
            Labels with the hazards drawn from, facts, and warnings if the event rate differs from the requested one, if
            a planted code is absent or a planted value has no rank, or if there is little to learn.

        Raises:
            OutcomeError: As for ``risk``.
        """
        chosen = self._sequence_codes(visits, is_training)
        risk = self._standardised_risk(visits, chosen, is_training)
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
        warnings = self._planting_warnings(visits, is_training) + _rate_warning(facts)
        if not correlation < WEAKEST_CORRELATION:
            warnings += (
                f"the correlation of mean risk with event step must be below {WEAKEST_CORRELATION}; found "
                f"{correlation:.3f}: there is little to learn. Raise outcome.effect (now {self.effect:g}) or lower "
                "outcome.event_rate",
            )
        codes = {} if chosen is None else chosen.by_key()
        return replace(labels, facts=facts, codes=codes, warnings=warnings)

    def risk(self, visits: Visits, *, is_training: Bool[np.ndarray, " subject"]) -> Float[np.ndarray, " visit"]:
        """Compute the standardised risk at each visit from that visit and those before it.

        Args:
            visits: Visits of the cohort.
            is_training: Subjects whose visits give ranks, mean and standard deviation.

        Returns:
            Risk of each visit; higher = larger hazard if ``effect`` is above 0. Among the training visits, with the
            same total weight for each subject, the mean is 0 and the standard deviation 1.

        Raises:
            OutcomeError: If the risk is the same at all training visits, no planted or named code occurs in the export,
                a code of ``planted_values`` has no numbers that differ between training subjects, or codes of the
                sequence can't be chosen.
        """
        return self._standardised_risk(visits, self._sequence_codes(visits, is_training), is_training)

    def _standardised_risk(
        self, visits: Visits, chosen: SequenceCodes | None, is_training: Bool[np.ndarray, " subject"]
    ) -> Float[np.ndarray, " visit"]:
        owner = visits.visit_subject
        weight = np.where(is_training[owner], 1.0 / visits.visits_per_subject[owner], 0.0)
        if self.planted_values:
            risk = self._last_values(visits, is_training)
        else:
            if chosen is not None:
                factors = self._sequence(visits, chosen)
            else:
                factors = self._planted(visits) if self.planted_codes else self._burden(visits)
            risk = np.sum([share * normal_scores(factor, weight) for share, factor in factors], axis=0)
        mean = np.average(risk, weights=weight)
        spread = np.sqrt(np.average(np.square(risk - mean), weights=weight))
        if not spread > 0:
            raise OutcomeError(
                f"the synthetic risk must differ between training visits; found the same everywhere. {self._advice}"
            )
        return (risk - mean) / spread

    def _burden(self, visits: Visits) -> list[tuple[float, np.ndarray]]:
        weights = (self.comorbidity_weight, self.frequency_weight, self.repetition_weight)
        return list(zip(weights, history_factors(visits), strict=True))

    def _planted(self, visits: Visits) -> list[tuple[float, np.ndarray]]:
        refuse_unknown_codes(self.planted_codes, visits.codes, key="outcome.planted_codes")
        is_planted = np.isin(visits.codes, self.planted_codes)[visits.code]
        return [(1.0, distinct_code_counts(visits, is_planted))]

    def _sequence_codes(self, visits: Visits, is_training: Bool[np.ndarray, " subject"]) -> SequenceCodes | None:
        if self.mechanism != "sequence":
            return None
        for key, codes in self._sequence_names().items():
            if codes:
                refuse_unknown_codes(codes, visits.codes, key=key)
        return choose_sequence_codes(
            visits, pairs=self.sequence_pairs, fading=self.fading_codes, is_training=is_training
        )

    def _sequence_names(self) -> dict[str, list[str]]:
        of_pairs = list(dict.fromkeys(code for pair in self.sequence_pairs for code in pair))
        return {"outcome.sequence_pairs": of_pairs, "outcome.fading_codes": self.fading_codes}

    def _sequence(self, visits: Visits, chosen: SequenceCodes) -> list[tuple[float, np.ndarray]]:
        return [
            (self.order_weight, order_state(visits, chosen.pairs, window_days=self.window_days)),
            (self.fading_weight, fading_count(visits, chosen.fading, half_life_days=self.half_life_days)),
            (self.rise_weight, rate_rise(visits)),
        ]

    def _last_values(self, visits: Visits, is_training: Bool[np.ndarray, " subject"]) -> Float[np.ndarray, " visit"]:
        refuse_unknown_codes(self.planted_values, visits.codes, key="outcome.planted_values")
        return last_value_risk(visits, self._known(self.planted_values, visits), is_training=is_training)

    @property
    def _advice(self) -> str:
        if self.mechanism == "sequence":
            return "Set outcome.sequence_pairs to pairs of codes that occur in both orders, or raise another weight"
        if self.planted_values:
            return "Set outcome.planted_values to codes whose last value differs between visits"
        if self.planted_codes:
            return "Set outcome.planted_codes to codes that some histories contain and others do not"
        return "Raise another of outcome.comorbidity_weight, outcome.frequency_weight and outcome.repetition_weight"

    @staticmethod
    def _known(codes: list[str], visits: Visits) -> list[str]:
        return [code for code in codes if code in visits.codes]

    def _planting_warnings(self, visits: Visits, is_training: Bool[np.ndarray, " subject"]) -> tuple[str, ...]:
        planted = {
            "outcome.planted_codes": self.planted_codes,
            "outcome.planted_values": self.planted_values,
            **self._sequence_names(),
        }
        absent = {key: [code for code in codes if code not in visits.codes] for key, codes in planted.items()}
        warnings = tuple(
            f"{key}: {', '.join(codes)} occur nowhere in the export" for key, codes in absent.items() if codes
        )
        unranked = unranked_entries(visits, self._known(self.planted_values, visits), is_training=is_training)
        if unranked:
            warnings += (
                f"outcome.planted_values: {unranked} numbers have a unit that no training subject has for that code; "
                "they add 0 to the risk",
            )
        return warnings


def oracle_concordance(visits: Visits, labels: Labels) -> float:
    """Compute the C-index (``c_td``) of the hazards that the outcome was drawn from, that of a perfect model.

    Args:
        visits: Visits of the cohort.
        labels: Labels of a synthetic outcome.

    Returns:
        C-index from 0 to 1, higher is better; NaN if no pair of subjects is comparable.
    """
    assert labels.oracle_hazard is not None, "a synthetic outcome has its hazards"
    hazard = padded_hazard(labels.oracle_hazard, visits.visit_offsets[:-1], labels.step)
    return concordance_td(np.cumprod(1 - hazard, axis=1), step=labels.step, event=labels.event).c_td


def padded_hazard(
    hazard: Float[np.ndarray, " visit"], first_visit: Int64[np.ndarray, " subject"], step: Int64[np.ndarray, " subject"]
) -> Float[np.ndarray, "subject step"]:
    """Arrange hazards in one row per subject: those of steps 0 to ``step``, and 0 after them.

    Args:
        hazard: Hazard at each visit.
        first_visit: First visit of each subject.
        step: Last step of each subject.

    Returns:
        Hazards in double precision; shape (subject, largest ``step`` + 1).
    """
    number = np.arange(int(step.max()) + 1)
    at_risk = number <= step[:, None]
    visit = np.where(at_risk, first_visit[:, None] + number, 0)
    return np.where(at_risk, hazard[visit].astype(np.float64), 0.0)


def _risk_time_correlation(visits: Visits, risk: Float[np.ndarray, " visit"], labels: Labels) -> float:
    """Correlate (Pearson) the mean risk over the steps at risk with the event step, among subjects with the event.

    Returns:
        NaN with fewer than three events, or with all events in the same step.
    """
    at_risk = (
        np.arange(len(risk)) - visits.visit_offsets[:-1][visits.visit_subject] <= labels.step[visits.visit_subject]
    )
    mean_risk = np.add.reduceat(np.where(at_risk, risk, 0.0), visits.visit_offsets[:-1]) / (labels.step + 1)
    cases = labels.event
    if cases.sum() < 3 or np.ptp(labels.step[cases]) == 0:
        return float("nan")
    return float(np.corrcoef(mean_risk[cases], labels.step[cases])[0, 1])


def _rate_warning(facts: dict[str, float]) -> tuple[str, ...]:
    """Return a warning if the event rate differs from the requested one by more than ``RATE_TOLERANCE``."""
    drawn, requested = facts["event_rate"], facts["asked_event_rate"]
    if abs(drawn - requested) <= RATE_TOLERANCE:
        return ()
    return (
        f"the event rate must lie within {RATE_TOLERANCE:.0%} of outcome.event_rate={requested:g}; found {drawn:.3f} "
        f"(training subjects {facts['event_rate_train']:.3f}): censoring leaves too few steps, or the cohort is small. "
        "Lower outcome.event_rate or outcome.censoring_chance, or use more subjects",
    )
