"""A trained model and its summary → sanity_checks: each dies where a leak or a wrong convention got in."""

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
# In single precision the sums of a shorter batch run in another order: measured differences stay below 1e-6.
TOLERANCE = 1e-5
DRAWS = 100
# Random hazards need no more to show a bias, and 100 draws for many would take minutes.
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
    tensors, members = batches.tensors, batches.members
    step, event = tensors.step[members], tensors.event[members]
    return (
        hazards_are_causal(model, batches, device),
        constant_hazards_score_half(step, event),
        random_hazards_score_half(step, event, seed=settings.seed),
        random_outcome_scores_half(summary, settings.confidence, random_outcome=random_outcome),
        oracle_is_unbeaten(summary, settings.confidence),
    )


def hazards_are_causal(model: nn.Module, batches: Batches, device: torch.device) -> Finding:
    """The hazards of steps 0..m must not change when the visits behind visit m are taken away.

    Up to 32 subjects, from the shortest record to the longest, each cut at half its steps.
    """
    check, tensors = "sanity check: no later visit is read", batches.tensors
    if tensors.clock == "landmark":
        said = "Does not apply: on the landmark clock the tensors end at the landmark."
        return Finding(check, "ok", said, "landmark clock")
    longer = batches.members[tensors.step[batches.members] > 0]
    if not len(longer):
        return Finding(check, "note", "Not decidable: no subject has a second step.", "0 subjects with two steps")
    by_length = longer[np.argsort(tensors.step[longer], kind="stable")]
    chosen = np.sort(by_length[np.unique(np.linspace(0, len(longer) - 1, SUBJECTS).astype(np.int64))])
    last = tensors.step[chosen] // 2
    whole = predict_split(model, replace(batches, members=chosen), device).hazard
    short = predict_split(model, _cut(batches, chosen, last), device).hazard
    differences = np.abs(whole[:, : short.shape[1]] - short)
    largest = float(np.max(differences[np.arange(short.shape[1]) <= last[:, None]]))
    evidence = (
        f"{len(chosen)} subjects, {int((last + 1).sum())} hazards, {int((tensors.step[chosen] - last).sum())} visits "
        f"taken away; largest difference {largest:.1e}, tolerance {TOLERANCE:.0e}"
    )
    # Written so that a NaN fails.
    if largest <= TOLERANCE:
        return Finding(check, "ok", "No hazard changes when the visits behind its own are taken away.", evidence)
    said = "Hazards change when the visits behind their own are taken away: the model reads the future."
    return Finding(check, "failure", said, evidence)


def constant_hazards_score_half(step: Int64[np.ndarray, " subject"], event: Bool[np.ndarray, " subject"]) -> Finding:
    """Equal hazards for all must score exactly 0.5 on the judged labels."""
    check = "sanity check: constant hazards score 0.5"
    survival = np.broadcast_to(np.cumprod(np.full(int(step.max()) + 1, 0.9)), (len(step), int(step.max()) + 1))
    found = concordance_td(survival, step=step, event=event)
    evidence = f"c_td {found.c_td}, {found.comparable} comparable pairs"
    if not found.comparable:
        return Finding(check, "note", "Not decidable: no two subjects can be compared.", evidence)
    if found.c_td == 0.5:
        return Finding(check, "ok", "Equal hazards for all score exactly 0.5.", evidence)
    return Finding(check, "failure", "Equal hazards for all do not score 0.5: the C-index is biased.", evidence)


def random_hazards_score_half(
    step: Int64[np.ndarray, " subject"], event: Bool[np.ndarray, " subject"], *, seed: int
) -> Finding:
    """Random hazards must score 0.5 within three standard errors on the judged labels, whatever the follow-up.

    One run in 400 would fail by chance, so it is said only where a second set of draws fails too.
    """
    check = "sanity check: random hazards score 0.5"
    step, event = step[:MOST_LABELS], event[:MOST_LABELS]
    for mean, error in _random_scores(step, event, seed):
        evidence = f"mean c_td {mean:.4f}, standard error {error:.4f} over {DRAWS} draws"
        if math.isnan(mean):
            return Finding(check, "note", "Not decidable: no two subjects can be compared.", evidence)
        if abs(mean - 0.5) <= STANDARD_ERRORS * error:
            return Finding(check, "ok", "Random hazards score 0.5 within three standard errors.", evidence)
    return Finding(check, "failure", "Random hazards do not score 0.5: the C-index is biased.", evidence)


def random_outcome_scores_half(summary: EvaluationSummary, confidence: float, *, random_outcome: bool) -> Finding:
    """On an outcome that ignores history, a trained model must score 0.5 within three standard errors.

    On the landmark clock the random outcome does not ignore history: who comes often has more steps in a year.
    """
    check, c_td = "sanity check: nothing is found in a random outcome", summary.model.c_td
    if summary.split != "test":
        return Finding(check, "ok", "Does not apply: the model has seen these subjects.", f"split={summary.split}")
    if not random_outcome or summary.clock != "visit":
        return Finding(
            check, "ok", "Does not apply: not the random outcome on the visit clock.", "outcome=random asks it"
        )
    if c_td.interval is None:
        said = "Not decidable: there is no interval."
        return Finding(check, "note", said, f"c_td {c_td.value:.3f}, {summary.events} events")
    error = _error(c_td.interval, confidence)
    evidence = f"c_td {c_td.value:.3f}, standard error {error:.3f}"
    if abs(c_td.value - 0.5) <= STANDARD_ERRORS * error:
        return Finding(check, "ok", "The model finds nothing in a random outcome, as it must.", evidence)
    said = "The model finds something in a random outcome: a leak."
    return Finding(check, "failure", said, evidence, ("outcome=random seed=1",))


def oracle_is_unbeaten(summary: EvaluationSummary, confidence: float) -> Finding:
    """No model beats the hazards that drew the outcome beyond noise.

    An interval wholly in the model's favour is told; three standard errors are a failure, as for the other checks:
    of the intervals of several scores and landmarks, one in forty lies there by chance where a model is as good.
    """
    check, found = "sanity check: the oracle is not beaten", dict(_advantages(summary))
    if summary.split != "test":
        return Finding(check, "ok", "Does not apply: the model has seen these subjects.", f"split={summary.split}")
    if not found:
        has_oracle = any(row.role == "oracle" for row in summary.rows)
        said = (
            "Not decidable: there is no interval." if has_oracle else "Does not apply: the true hazards are not known."
        )
        return Finding(check, "note" if has_oracle else "ok", said, f"{summary.events} events")
    evidence = "; ".join(
        f"{name}: advantage {gain.value:+.4f} ({gain.interval.low:+.4f} to {gain.interval.high:+.4f})"
        for name, gain in found.items()
    )
    ahead = [name for name, gain in found.items() if gain.interval.low > 0]
    certain = [name for name in ahead if found[name].value > STANDARD_ERRORS * _error(found[name].interval, confidence)]
    if certain:
        said = f"The model beats the oracle beyond noise ({', '.join(certain)}): it knows what it must not."
        return Finding(check, "failure", said, evidence)
    if ahead:
        said = f"The model beats the oracle ({', '.join(ahead)}), but by less than three standard errors."
        return Finding(check, "note", said, evidence)
    return Finding(check, "ok", "The model does not beat the hazards that drew the outcome.", evidence)


def _cut(batches: Batches, chosen: Int64[np.ndarray, " chosen"], last: Int64[np.ndarray, " chosen"]) -> Batches:
    """The chosen subjects alone, with visits 0..``last`` only, censored there."""
    short = replace(
        select_subjects(batches.tensors, chosen, visits=last + 1), step=last, event=np.zeros(len(chosen), dtype=bool)
    )
    return replace(batches, tensors=short, members=np.arange(len(chosen)))


def _random_scores(
    step: Int64[np.ndarray, " subject"], event: Bool[np.ndarray, " subject"], seed: int
) -> Iterator[tuple[float, float]]:
    """Mean and standard error of c_td over fresh draws of random hazards, twice."""
    generator = np.random.default_rng(seed)
    # No pair is compared behind the last event.
    shape = (len(step), int(step[event].max(initial=0)) + 1)
    for _ in range(2):
        scores = [
            concordance_td(np.cumprod(1 - generator.uniform(0, 0.1, shape), axis=1), step=step, event=event).c_td
            for _ in range(DRAWS)
        ]
        yield float(np.mean(scores)), float(np.std(scores, ddof=1) / math.sqrt(DRAWS))


def _advantages(summary: EvaluationSummary) -> Iterator[tuple[str, Difference]]:
    """Every difference to the oracle that has an interval, turned so that above 0 is in the model's favour.

    At every step only: from a landmark the oracle's hazard is carried on as the model's is, and bounds nothing.
    """
    for row in summary.rows:
        if row.role == "oracle" and row.c_td_difference is not None:
            yield "c_td", row.c_td_difference
        if row.role == "oracle" and row.nll_difference is not None:
            yield "nll", _turned(row.nll_difference)


def _turned(difference: Difference) -> Difference:
    low, high = difference.interval
    return difference._replace(value=-difference.value, interval=type(difference.interval)(-high, -low))


def _error(interval: tuple[float, float], confidence: float) -> float:
    """Half the width of an interval in standard errors of a normal figure: 1.96 of them at 95 %."""
    low, high = interval
    return (high - low) / 2 / NormalDist().inv_cdf(0.5 + confidence / 2)
