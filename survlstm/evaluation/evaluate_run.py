"""Evaluation of the predictions of one model on one split, beside its comparators."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from survlstm.data.outcomes.synthetic import padded_hazard
from survlstm.data.split import Split
from survlstm.data.tensors import Tensors
from survlstm.evaluation.baselines.at_times import fit_at_times, hazards_of_survival
from survlstm.evaluation.baselines.hazards import COVARIATE_FREE, HAZARD_BASELINES, HazardBaseline, covariate_free
from survlstm.evaluation.baselines.landmark import LANDMARK_BASELINES
from survlstm.evaluation.baselines.protocol import Baseline, InvalidBaselineError, hazards_of, survival_of
from survlstm.evaluation.comparators import Comparator, HazardRows, LandmarkComparator, from_landmark
from survlstm.evaluation.curves import survival_curves
from survlstm.evaluation.evaluated_rows import all_rows, is_main, row_landmarks, sampling_notes
from survlstm.evaluation.group_evaluation import evaluate_groups, risks_at
from survlstm.evaluation.landmark_evaluation import evaluate_landmark
from survlstm.evaluation.landmarks import Landmark, make_landmarks, reference_split
from survlstm.evaluation.results import Curves, EvaluationSummary, LandmarkResult, StepRow
from survlstm.evaluation.settings import EvaluationSettings
from survlstm.evaluation.step_metrics import count_comparable_pairs, evaluate_steps
from survlstm.evaluation.summary_text import conventions, summarize_evaluation
from survlstm.training.prediction import Predictions

log = logging.getLogger(__name__)


class _LandmarkEvaluation(NamedTuple):
    """Results of one landmark, the model's curves, and the comparators that were fitted at this landmark only."""

    result: LandmarkResult
    curves: Curves | None
    model: LandmarkComparator
    fitted: list[LandmarkComparator]


def evaluate_predictions(
    predictions: Predictions,
    reference: Predictions,
    tensors: Tensors,
    evaluated: Split,
    *,
    settings: EvaluationSettings,
    another_cohort: bool = False,
) -> EvaluationSummary:
    """Evaluate a model, the oracle if there is one, and the baselines, on the same subjects and the same resamples.

    Args:
        predictions: Predictions of the model on the ``evaluated`` split.
        reference: Predictions of the model on ``reference_split(evaluated)``, to which the extrapolation of hazards is
            fitted.
        tensors: Data of all subjects. Baselines are fitted on its training subjects.
        evaluated: The evaluated split.
        settings: Intervals, landmarks and baselines.
        another_cohort: Whether the evaluated subjects come from another cohort than the training subjects. The
            censoring curve is then estimated on the evaluated subjects instead of the training subjects.

    Returns:
        Metrics at every step and from every landmark, with the sentences that summarise them.
    """
    on_days = tensors.clock == "days"
    if on_days:
        visits, splits = settings.landmark_visits, (evaluated, reference_split(evaluated))
        predictions, reference = (
            part.at(np.isin(part.row, all_rows(tensors, split, visits)))
            for part, split in zip((predictions, reference), splits, strict=True)
        )
    rows_of = HazardRows(predictions.row, reference.row)
    comparators, failed = _comparators(predictions, reference, tensors, settings)
    landmarks = _landmarks(tensors, evaluated, settings, another_cohort=another_cohort)
    at_landmarks = [_evaluate_from(landmark, comparators, tensors, rows_of, settings) for landmark in landmarks]
    if tensors.clock == "landmark":
        known = {comparator.name for comparator in comparators}
        comparators += [_with_hazards(fitted) for fitted in at_landmarks[0].fitted if fitted.name not in known]
    if on_days:
        kept = is_main(tensors, evaluated, predictions.row)
        predictions = predictions.at(kept)
        comparators = [dataclasses.replace(one, hazard=one.hazard[kept]) for one in comparators]
        failed += sampling_notes(tensors, evaluated)
    rows, notes = _at_every_step(comparators, predictions, tensors, settings)
    events, split = len(np.unique(predictions.subject[predictions.event])), evaluated.name.lower()
    results = tuple(one.result for one in at_landmarks)
    groups = None
    if settings.groups:
        risks = (
            risks_at(landmark, one.model.survival, one.result)
            for landmark, one in zip(landmarks, at_landmarks, strict=True)
            if one.result.horizons
        )
        groups = evaluate_groups(predictions, tensors, next(risks, None), settings)
    return EvaluationSummary(
        clock=tensors.clock,
        split=split,
        subjects=len(np.unique(predictions.subject)),
        events=events,
        comparable_pairs=count_comparable_pairs(predictions.step, predictions.event, predictions.group),
        rows=rows,
        landmarks=results,
        curves=tuple(one.curves for one in at_landmarks if one.curves is not None),
        lines=summarize_evaluation(
            rows,
            results,
            split=split,
            events=events,
            min_events=settings.min_events,
            confidence=settings.confidence,
        ),
        notes=(*notes, *failed),
        conventions=conventions(
            clock=tensors.clock, reference=reference_split(evaluated).name.lower(), groups=groups is not None
        ),
        groups=groups,
    )


def evaluate_model(
    predictions: Predictions, tensors: Tensors, evaluated: Split, *, settings: EvaluationSettings
) -> StepRow:
    """Evaluate a model alone at every step, without comparators and landmarks.

    Args:
        predictions: Predictions of the model on one split.
        tensors: Data of all subjects.
        evaluated: That split.
        settings: Settings of the intervals.

    Returns:
        C-index and negative log-likelihood with their intervals.
    """
    if tensors.clock == "days":
        predictions = predictions.at(is_main(tensors, evaluated, predictions.row))
    model = Comparator("model", "model", predictions.hazard, tensors.in_days)
    (row,), _ = _at_every_step([model], predictions, tensors, settings)
    return row


def _at_every_step(
    comparators: list[Comparator], predictions: Predictions, tensors: Tensors, settings: EvaluationSettings
) -> tuple[tuple[StepRow, ...], list[str]]:
    return evaluate_steps(
        comparators,
        step=predictions.step,
        event=predictions.event,
        bootstrap=settings.bootstrap,
        group=predictions.group,
        # Zeros, of no effect on the likelihood, but on the days clock.
        exposure=tensors.exposure[predictions.row],
    )


def _landmarks(
    tensors: Tensors, evaluated: Split, settings: EvaluationSettings, *, another_cohort: bool
) -> tuple[Landmark, ...]:
    if tensors.clock == "days":
        return row_landmarks(
            tensors,
            evaluated,
            visits=settings.landmark_visits,
            rules=settings.time_rules,
            horizons=settings.horizons,
            another_cohort=another_cohort,
        )
    return make_landmarks(
        tensors,
        evaluated,
        visits=settings.landmark_visits,
        days=settings.landmark_days,
        horizons=settings.horizons,
        another_cohort=another_cohort,
    )


def _comparators(
    predictions: Predictions, reference: Predictions, tensors: Tensors, settings: EvaluationSettings
) -> tuple[list[Comparator], list[str]]:
    """Return the model, the oracle, the covariate-free hazard and the baselines that have a hazard at every step.

    The second list holds the reasons why baselines are missing.
    """
    known_ahead = tensors.in_days
    comparators = [Comparator("model", "model", predictions.hazard, known_ahead, reference.hazard)]
    if not np.isnan(tensors.oracle_hazard).any():
        evaluated_hazard, reference_hazard = (
            padded_hazard(tensors.oracle_hazard, tensors.visit_offsets[part.subject], part.step)
            for part in (predictions, reference)
        )
        comparators.append(Comparator("oracle", "oracle", evaluated_hazard, known_ahead, reference_hazard))
    # A landmark can be placed at the end of the longest record, so the hazards must reach the last horizon from there.
    steps = tensors.steps if known_ahead else tensors.steps + max(settings.horizons)
    failed = []
    # One fit serves both splits: their rows are predicted together and split afterwards.
    both = np.concatenate([predictions.row, reference.row])
    for baseline in (COVARIATE_FREE, *settings.baselines):
        try:
            fitted = _fit_hazards(baseline, tensors, both, steps)
        except InvalidBaselineError as error:
            failed.append(f"no {error}")
            continue
        except ValueError as error:
            # It can't be fitted to these training subjects.
            failed.append(f"no {baseline}: {error}")
            continue
        if fitted is None:
            continue
        evaluated_hazard, reference_hazard = np.split(fitted.hazard, [len(predictions.row)])
        comparators.append(Comparator(fitted.name, "baseline", evaluated_hazard, fitted.known_ahead, reference_hazard))
    return comparators, failed


def _fit_hazards(baseline: str | Baseline, tensors: Tensors, subjects: np.ndarray, steps: int) -> HazardBaseline | None:
    """Fit a baseline that has a hazard at every step; return None for one that has not."""
    if not isinstance(baseline, str):
        if not hasattr(baseline, "hazards"):
            return None
        log.info("Fitting the baseline %s", baseline.name)
        return hazards_of(baseline, tensors, subjects, steps)
    if tensors.clock != "days" and baseline in LANDMARK_BASELINES:
        return None
    log.info("Fitting the baseline %s", baseline)
    if tensors.clock == "days":
        return fit_at_times(baseline, tensors, subjects)
    return {COVARIATE_FREE: covariate_free, **HAZARD_BASELINES}[baseline](tensors, subjects, steps)


def _evaluate_from(
    landmark: Landmark,
    comparators: Sequence[Comparator],
    tensors: Tensors,
    rows: HazardRows,
    settings: EvaluationSettings,
) -> _LandmarkEvaluation:
    fitted, missing = _fit(landmark, tensors, settings)
    # A baseline that was fitted at the landmark needs no extrapolation of its hazards.
    at_once = {one.name for one in fitted}
    at_landmark = [
        from_landmark(comparator, landmark, tensors, rows)
        for comparator in comparators
        if comparator.name not in at_once
    ]
    result = evaluate_landmark(landmark, at_landmark + fitted, settings.bootstrap)
    result = dataclasses.replace(result, notes=landmark.notes + result.notes + tuple(missing))
    free = next(one.survival for one in at_landmark if one.name == COVARIATE_FREE)
    curves = survival_curves(landmark, at_landmark[0].survival, free, settings.confidence)
    return _LandmarkEvaluation(result, curves, at_landmark[0], fitted)


def _fit(
    landmark: Landmark, tensors: Tensors, settings: EvaluationSettings
) -> tuple[list[LandmarkComparator], list[str]]:
    """Fit the baselines of a landmark; return them and the reasons why others are missing."""
    fitted, missing = [], []
    if not len(landmark.test.subject):
        return [], []
    for baseline in settings.baselines:
        if tensors.clock == "days" and isinstance(baseline, str):
            continue
        if isinstance(baseline, str) and baseline in LANDMARK_BASELINES:
            title, fit = LANDMARK_BASELINES[baseline]
        elif not isinstance(baseline, str) and hasattr(baseline, "survival"):
            title, fit = baseline.name, partial(survival_of, baseline)
        else:
            continue
        log.info("Fitting the baseline %s from %s", title, landmark.name)
        try:
            fitted.append(LandmarkComparator(title, "baseline", fit(landmark, tensors, settings.seed)))
        except ValueError as error:
            # The package is missing or the curves are no probabilities. One failed baseline must not end the
            # evaluation of all others.
            missing.append(f"no {error}" if isinstance(error, InvalidBaselineError) else f"no {title}: {error}")
    return fitted, missing


def _with_hazards(comparator: LandmarkComparator) -> Comparator:
    """Convert a curve of the landmark clock to hazards; its values at the ends of all intervals determine them."""
    hazard = hazards_of_survival(comparator.survival)
    return Comparator(comparator.name, comparator.role, hazard, known_ahead=True)
