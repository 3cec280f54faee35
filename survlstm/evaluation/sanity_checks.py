"""Sanity checks of a trained model and its evaluation.

Each fails if information from after the prediction time reaches the model, or if a metric breaks its convention.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import nn

from survlstm.data.batches import Batches
from survlstm.data.external_cohort import select_subjects
from survlstm.evaluation.results import Difference, EvaluationSummary, Finding
from survlstm.evaluation.settings import EvaluationSettings
from survlstm.survival.concordance import concordance_td
from survlstm.training.prediction import predict_split

SUBJECTS = 32
# In single precision a shorter batch adds in another order; the measured differences stay below 1e-6.
TOLERANCE = 1e-5
DRAWS = 100
# Labels of the random hazards. More are not needed to show a bias, and 100 draws on many labels would take minutes.
MOST_LABELS = 1000
STANDARD_ERRORS = 3


def run_sanity_checks(
    model: nn.Module,
    batches: Batches,
    device: torch.device,
    *,
    summary: EvaluationSummary,
    settings: EvaluationSettings,
    random_outcome: bool,
) -> tuple[Finding, ...]:
    """Run every sanity check.

    Args:
        model: The trained model, on ``device``.
        batches: Batches of the evaluated split.
        device: Device of the predictions.
        summary: The evaluation of the model on that split.
        settings: Settings of the evaluation.
        random_outcome: Whether the outcome is drawn without regard to the history.

    Returns:
        One finding for each check, passed or not.
    """
    tensors, rows = batches.tensors, batches.rows(batches.members)
    # On the days clock, a row censored within the first interval is compared with none.
    rows = rows[tensors.step[rows] >= 0]
    step, event = tensors.step[rows], tensors.event[rows]
    return (
        hazards_are_causal(model, batches, device),
        constant_hazards_score_half(step, event),
        random_hazards_score_half(step, event, seed=settings.seed),
        random_outcome_scores_half(summary, settings.confidence, random_outcome=random_outcome),
        oracle_is_unbeaten(summary, settings.confidence),
    )


def hazards_are_causal(model: nn.Module, batches: Batches, device: torch.device) -> Finding:
    """Check that the hazards of the steps 0 to m do not change when the visits after visit m are removed.

    The check takes up to 32 subjects, from the shortest record to the longest, each cut at half of its steps. On the
    days clock each is cut after the visits that half of its prediction times see, and the hazards of these must not
    change.

    Args:
        model: The trained model, on ``device``.
        batches: Batches of the evaluated split.
        device: Device of the predictions.

    Returns:
        The finding; a failure if the model reads later visits.
    """
    check, tensors = "sanity check: no later visit is read", batches.tensors
    if tensors.clock == "landmark":
        finding = "Does not apply: on the landmark clock the tensors end at the landmark."
        return Finding(check, "ok", finding, "landmark clock")
    if tensors.clock == "days":
        return _rows_are_causal(check, model, batches, device)
    longer = batches.members[tensors.step[batches.members] > 0]
    if not len(longer):
        return Finding(check, "note", "Not decidable: no subject has a second step.", "0 subjects with two steps")
    by_length = longer[np.argsort(tensors.step[longer], kind="stable")]
    chosen = np.sort(by_length[np.unique(np.linspace(0, len(longer) - 1, SUBJECTS).astype(np.int64))])
    last = tensors.step[chosen] // 2
    whole = predict_split(model, replace(batches, members=chosen), device).hazard
    short = predict_split(model, _cut(batches, chosen, last), device).hazard
    differences = np.abs(whole[:, : short.shape[1]] - short)[np.arange(short.shape[1]) <= last[:, None]]
    return _causality(check, differences, subjects=len(chosen), removed=int((tensors.step[chosen] - last).sum()))


def _rows_are_causal(check: str, model: nn.Module, batches: Batches, device: torch.device) -> Finding:
    """Check that the hazards of prediction times do not change when the visits after them are removed."""
    tensors, members = batches.tensors, batches.members
    visits, rows = batches.visits(members), batches.rows(members)
    number = np.bincount(tensors.row_subject[rows], minlength=len(tensors.subject_id))[members]
    # The visits that the middle one of the prediction times of each subject sees.
    seen = tensors.row_visits[rows]
    seen = seen[np.lexsort([seen, np.repeat(np.arange(len(members)), number)])]
    seen = seen[np.cumsum(number) - number + (number - 1) // 2]
    if number.max() == 1:
        finding = "Does not apply: the tensors end at the only prediction time of each subject."
        return Finding(check, "ok", finding, "one prediction time per subject")
    longer = np.flatnonzero(seen < visits)
    if not len(longer):
        finding = "Not decidable: no subject has a visit after the middle one of its prediction times."
        return Finding(check, "note", finding, "0 subjects with such a visit")
    by_length = longer[np.argsort(visits[longer], kind="stable")]
    place = np.sort(by_length[np.unique(np.linspace(0, len(longer) - 1, SUBJECTS).astype(np.int64))])
    chosen, seen = members[place], seen[place]
    whole = predict_split(model, replace(batches, members=chosen), device)
    short = select_subjects(tensors, chosen, visits=seen)
    after = predict_split(model, replace(batches, tensors=short, members=np.arange(len(chosen))), device)
    left = tensors.row_visits[whole.row] <= seen[np.searchsorted(chosen, whole.subject)]
    differences = np.abs(whole.hazard[left] - after.hazard)
    return _causality(check, differences, subjects=len(chosen), removed=int((visits[place] - seen).sum()))


def _causality(check: str, differences: np.ndarray, *, subjects: int, removed: int) -> Finding:
    """Return the finding on the differences of hazards with and without later visits."""
    largest = float(np.max(differences))
    evidence = (
        f"{subjects} subjects, {differences.size} hazards, {removed} visits removed; largest difference {largest:.1e}, "
        f"tolerance {TOLERANCE:.0e}"
    )
    # The comparison is false for NaN, so that NaN fails the check.
    if largest <= TOLERANCE:
        return Finding(check, "ok", "No hazard changes when the visits after its own are removed.", evidence)
    finding = "Hazards change when the visits after their own are removed: the model reads later visits."
    return Finding(check, "failure", finding, evidence)


def constant_hazards_score_half(step: Int64[np.ndarray, " subject"], event: Bool[np.ndarray, " subject"]) -> Finding:
    """Check that equal hazards for all subjects have a C-index of exactly 0.5.

    Args:
        step: Last step at risk of the evaluated subjects.
        event: Whether the event happens in that step.

    Returns:
        The finding; a failure if the C-index is biased.
    """
    check = "sanity check: constant hazards score 0.5"
    survival = np.broadcast_to(np.cumprod(np.full(int(step.max()) + 1, 0.9)), (len(step), int(step.max()) + 1))
    concordance = concordance_td(survival, step=step, event=event)
    evidence = f"C-index {concordance.c_td}, {concordance.comparable} comparable pairs"
    if not concordance.comparable:
        return Finding(check, "note", "Not decidable: no two subjects can be compared.", evidence)
    if concordance.c_td == 0.5:
        return Finding(check, "ok", "Equal hazards for all score exactly 0.5.", evidence)
    return Finding(check, "failure", "Equal hazards for all do not score 0.5: the C-index is biased.", evidence)


def random_hazards_score_half(
    step: Int64[np.ndarray, " subject"], event: Bool[np.ndarray, " subject"], *, seed: int
) -> Finding:
    """Check that random hazards have a C-index of 0.5 within three standard errors, whatever the follow-up.

    One run in 400 would fail by chance, so that a failure is reported only if a second set of draws fails as well.

    Args:
        step: Last step at risk of the evaluated subjects.
        event: Whether the event happens in that step.
        seed: Seed of the hazards.

    Returns:
        The finding; a failure if the C-index is biased.
    """
    check = "sanity check: random hazards score 0.5"
    step, event = step[:MOST_LABELS], event[:MOST_LABELS]
    for mean, error in _random_scores(step, event, seed):
        evidence = f"mean C-index {mean:.4f}, standard error {error:.4f} over {DRAWS} draws"
        if math.isnan(mean):
            return Finding(check, "note", "Not decidable: no two subjects can be compared.", evidence)
        if abs(mean - 0.5) <= STANDARD_ERRORS * error:
            return Finding(check, "ok", "Random hazards score 0.5 within three standard errors.", evidence)
    return Finding(check, "failure", "Random hazards do not score 0.5: the C-index is biased.", evidence)


def random_outcome_scores_half(summary: EvaluationSummary, confidence: float, *, random_outcome: bool) -> Finding:
    """Check that a model trained on the random outcome has a C-index of 0.5 within three standard errors.

    On the landmark clock the random outcome depends on the history, because a subject with frequent visits has more
    steps in a year. The check then does not apply.

    Args:
        summary: The evaluation.
        confidence: Confidence level of its intervals.
        random_outcome: Whether the outcome is drawn without regard to the history.

    Returns:
        The finding; a failure if the model has learned something from an outcome without a signal.
    """
    check, c_td = "sanity check: nothing is found in a random outcome", summary.model.c_td
    if summary.split != "test":
        return Finding(
            check, "ok", "Does not apply: the model was trained or chosen on these subjects.", f"split={summary.split}"
        )
    if not random_outcome or summary.clock != "visit":
        return Finding(
            check, "ok", "Does not apply: not the random outcome on the visit clock.", "outcome=random runs it"
        )
    if c_td.interval is None:
        finding = "Not decidable: there is no interval."
        return Finding(check, "note", finding, f"C-index {c_td.value:.3f}, {summary.events} events")
    error = _error(c_td.interval, confidence)
    evidence = f"C-index {c_td.value:.3f}, standard error {error:.3f}"
    if abs(c_td.value - 0.5) <= STANDARD_ERRORS * error:
        return Finding(check, "ok", "The model finds nothing in a random outcome, as required.", evidence)
    finding = "The model ranks a random outcome better or worse than chance: a leak."
    return Finding(check, "failure", finding, evidence, ("outcome=random seed=1",))


def oracle_is_unbeaten(summary: EvaluationSummary, confidence: float) -> Finding:
    """Check that the model does not beat the hazards that drew the outcome.

    An interval wholly in favour of the model is a note, because one in forty lies there by chance if the model is as
    good as the oracle. An advantage of more than three standard errors is a failure, as in the other checks.

    Args:
        summary: The evaluation.
        confidence: Confidence level of its intervals.

    Returns:
        The finding.
    """
    check, advantages = "sanity check: the oracle is not beaten", dict(_advantages(summary))
    if summary.split != "test":
        return Finding(
            check, "ok", "Does not apply: the model was trained or chosen on these subjects.", f"split={summary.split}"
        )
    if not advantages:
        has_oracle = any(row.role == "oracle" for row in summary.rows)
        finding = (
            "Not decidable: there is no interval." if has_oracle else "Does not apply: the true hazards are not known."
        )
        return Finding(check, "note" if has_oracle else "ok", finding, f"{summary.events} events")
    evidence = "; ".join(
        f"{name}: advantage {gain.value:+.4f} ({gain.interval.low:+.4f} to {gain.interval.high:+.4f})"
        for name, gain in advantages.items()
    )
    ahead = [name for name, gain in advantages.items() if gain.interval.low > 0]
    certain = [
        name
        for name in ahead
        if advantages[name].value > STANDARD_ERRORS * _error(advantages[name].interval, confidence)
    ]
    if certain:
        finding = f"The model beats the oracle beyond noise ({', '.join(certain)}): it knows more than its inputs tell."
        return Finding(check, "failure", finding, evidence)
    if ahead:
        finding = f"The model beats the oracle ({', '.join(ahead)}), but by less than three standard errors."
        return Finding(check, "note", finding, evidence)
    return Finding(check, "ok", "The model does not beat the hazards that drew the outcome.", evidence)


def _cut(batches: Batches, chosen: Int64[np.ndarray, " chosen"], last: Int64[np.ndarray, " chosen"]) -> Batches:
    """Keep only the chosen subjects with the visits 0 to ``last``, censored at ``last``."""
    short = replace(
        select_subjects(batches.tensors, chosen, visits=last + 1), step=last, event=np.zeros(len(chosen), dtype=bool)
    )
    return replace(batches, tensors=short, members=np.arange(len(chosen)))


def _random_scores(
    step: Int64[np.ndarray, " subject"], event: Bool[np.ndarray, " subject"], seed: int
) -> Iterator[tuple[float, float]]:
    """Yield mean and standard error of the C-index over new draws of random hazards, twice."""
    generator = np.random.default_rng(seed)
    # No pair is compared after the last event.
    shape = (len(step), int(step[event].max(initial=0)) + 1)
    for _ in range(2):
        scores = [
            concordance_td(np.cumprod(1 - generator.uniform(0, 0.1, shape), axis=1), step=step, event=event).c_td
            for _ in range(DRAWS)
        ]
        yield float(np.mean(scores)), float(np.std(scores, ddof=1) / math.sqrt(DRAWS))


def _advantages(summary: EvaluationSummary) -> Iterator[tuple[str, Difference]]:
    """Yield the differences to the oracle at every step that have an interval, with the sign in favour of the model.

    Differences from a landmark are left out: there the hazards of the oracle are extrapolated and are no upper bound.
    """
    for row in summary.rows:
        if row.role == "oracle" and row.c_td_difference is not None:
            yield "C-index", row.c_td_difference
        if row.role == "oracle" and row.nll_difference is not None:
            yield "nll", _negated(row.nll_difference)


def _negated(difference: Difference) -> Difference:
    low, high = difference.interval
    return difference._replace(value=-difference.value, interval=type(difference.interval)(-high, -low))


def _error(interval: tuple[float, float], confidence: float) -> float:
    """Return the standard error of a normal estimate from the width of its interval (3.92 of them at 95 %)."""
    low, high = interval
    return (high - low) / 2 / NormalDist().inv_cdf(0.5 + confidence / 2)
