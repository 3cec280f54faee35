"""Predictions of a model on one split → the summary: one sentence, the tables, and what stands behind both."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from survlstm.config.schema.evaluation import EvaluationConfig
from survlstm.data.outcomes.synthetic import padded_hazard
from survlstm.data.split import Split
from survlstm.data.tensors import Tensors
from survlstm.evaluation.baselines.hazards import COVARIATE_FREE, HAZARD_BASELINES, covariate_free
from survlstm.evaluation.baselines.landmark import LANDMARK_BASELINES
from survlstm.evaluation.bootstrap import Bootstrap
from survlstm.evaluation.comparators import Comparator, HazardRows, LandmarkComparator, from_landmark
from survlstm.evaluation.curves import survival_curves
from survlstm.evaluation.landmark_evaluation import evaluate_landmark
from survlstm.evaluation.landmarks import Landmark, make_landmarks, reference_split
from survlstm.evaluation.results import Curves, EvaluationSummary, LandmarkResult
from survlstm.evaluation.step_metrics import count_comparable_pairs, evaluate_steps
from survlstm.evaluation.summary_text import conventions, summarize_evaluation
from survlstm.training.prediction import Predictions


class _FromLandmark(NamedTuple):
    """What was judged from one landmark, and the contenders that were fitted for it alone."""

    result: LandmarkResult
    curves: Curves | None
    fitted: list[LandmarkComparator]


def evaluate_predictions(
    predictions: Predictions,
    reference: Predictions,
    tensors: Tensors,
    evaluated: Split,
    *,
    settings: EvaluationConfig,
    seed: int,
    another_cohort: bool = False,
) -> EvaluationSummary:
    """The model, the oracle where there is one, and the baselines, on the same subjects and the same resamples.

    ``predictions`` are those of the ``evaluated`` split, ``reference`` those of ``reference_of(evaluated)``. Baselines
    are fitted on the training subjects of ``tensors``, and so is the censoring curve, unless the evaluated subjects are
    those of ``another_cohort``.
    """
    bootstrap = Bootstrap(settings.resamples, settings.confidence, settings.min_events, seed)
    wanted = settings.landmarks
    rows_of = HazardRows(predictions.subject, reference.subject)
    contenders = _contenders(predictions, reference, tensors, settings)
    landmarks = make_landmarks(
        tensors,
        evaluated,
        visits=wanted.visits,
        days=wanted.days,
        horizons=wanted.horizons,
        another_cohort=another_cohort,
    )
    judged = [
        _judge_from(landmark, contenders, tensors, rows_of, settings=settings, bootstrap=bootstrap)
        for landmark in landmarks
    ]
    if tensors.clock == "landmark":
        contenders += [_with_hazards(fitted) for fitted in judged[0].fitted]
    rows, notes = evaluate_steps(contenders, step=predictions.step, event=predictions.event, bootstrap=bootstrap)
    events, split = int(predictions.event.sum()), evaluated.name.lower()
    results = tuple(one.result for one in judged)
    return EvaluationSummary(
        clock=tensors.clock,
        split=split,
        subjects=len(predictions.step),
        events=events,
        comparable_pairs=count_comparable_pairs(predictions.step, predictions.event),
        rows=rows,
        landmarks=results,
        curves=tuple(one.curves for one in judged if one.curves is not None),
        lines=summarize_evaluation(
            rows,
            results,
            split=split,
            events=events,
            min_events=settings.min_events,
            confidence=settings.confidence,
        ),
        notes=tuple(notes),
        conventions=conventions(clock=tensors.clock, reference=reference_split(evaluated).name.lower()),
    )


def _contenders(
    predictions: Predictions, reference: Predictions, tensors: Tensors, settings: EvaluationConfig
) -> list[Comparator]:
    """Model, oracle, covariate-free hazard, and the baselines that have a hazard at every step."""
    ahead = tensors.clock == "landmark"
    contenders = [Comparator("model", "model", predictions.hazard, ahead, reference.hazard)]
    if not np.isnan(tensors.oracle_hazard).any():
        ours, theirs = (
            padded_hazard(tensors.oracle_hazard, tensors.visit_offsets[part.subject], part.step)
            for part in (predictions, reference)
        )
        contenders.append(Comparator("oracle", "oracle", ours, ahead, theirs))
    # A landmark may stand at the end of the longest record.
    steps = tensors.steps if ahead else tensors.steps + max(settings.landmarks.horizons)
    for maker in (covariate_free, *(HAZARD_BASELINES[name] for name in settings.baselines if name in HAZARD_BASELINES)):
        both = np.concatenate([predictions.subject, reference.subject])
        made = maker(tensors, both, steps)
        ours, theirs = np.split(made.hazard, [len(predictions.subject)])
        contenders.append(Comparator(made.name, "baseline", ours, made.known_ahead, theirs))
    return contenders


def _judge_from(
    landmark: Landmark,
    contenders: Sequence[Comparator],
    tensors: Tensors,
    rows: HazardRows,
    *,
    settings: EvaluationConfig,
    bootstrap: Bootstrap,
) -> _FromLandmark:
    here = [from_landmark(contender, landmark, tensors, rows) for contender in contenders]
    fitted, missing = _fit(landmark, tensors, settings, bootstrap.seed)
    result = evaluate_landmark(landmark, here + fitted, bootstrap)
    result = dataclasses.replace(result, notes=landmark.notes + result.notes + tuple(missing))
    free = next(one.survival for one in here if one.name == COVARIATE_FREE)
    return _FromLandmark(result, survival_curves(landmark, here[0].survival, free, settings.confidence), fitted)


def _fit(
    landmark: Landmark, tensors: Tensors, settings: EvaluationConfig, seed: int
) -> tuple[list[LandmarkComparator], list[str]]:
    """The baselines that are fitted at the landmark, and why some are missing."""
    fitted, missing = [], []
    if not len(landmark.test.subject):
        return [], []
    for name in settings.baselines:
        if name not in LANDMARK_BASELINES:
            continue
        title, fit = LANDMARK_BASELINES[name]
        try:
            fitted.append(LandmarkComparator(title, "baseline", fit(landmark, tensors, seed)))
        except ValueError as error:
            # Unavailable, or curves that are no probabilities: one broken baseline must not cost the summary.
            missing.append(f"no {title}: {error}")
    return fitted, missing


def _with_hazards(contender: LandmarkComparator) -> Comparator:
    """On the landmark clock a curve at the ends of the intervals is a hazard in each of them."""
    before = np.column_stack([np.ones(len(contender.survival)), contender.survival[:, :-1]])
    # Where nobody is left the next hazard is of no one: any value will do, 1 says so.
    hazard = 1 - np.divide(contender.survival, before, out=np.zeros_like(before), where=before > 0)
    return Comparator(contender.name, contender.role, hazard, known_ahead=True)
