"""Evaluate a trained model on a split, run the diagnostics and write the results."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from survlstm.config.schema.run import RunConfig
from survlstm.config.schema.section import Section, as_yaml
from survlstm.data.factory import build_batches
from survlstm.data.prepare import PreparedData
from survlstm.data.split import Split
from survlstm.evaluation.bootstrap import Bootstrap
from survlstm.evaluation.comparators import Comparator
from survlstm.evaluation.diagnostics import run_diagnostics
from survlstm.evaluation.diagnostics.context import DiagnosticContext
from survlstm.evaluation.evaluate_run import evaluate_predictions
from survlstm.evaluation.landmarks import reference_split
from survlstm.evaluation.results import EvaluationSummary, StepRow
from survlstm.evaluation.sanity_checks import run_sanity_checks
from survlstm.evaluation.step_metrics import evaluate_steps
from survlstm.report.task import RunTask
from survlstm.runs.manifest import facts_for_page
from survlstm.runs.results import RunResults, write_results
from survlstm.training.history import History
from survlstm.training.prediction import Predictions, predict_split


@dataclass(frozen=True)
class Assessment:
    """What is assessed, and how: ``asked`` is the config of the command, ``config`` that of the run.

    ``history`` is None where nothing was trained; ``another_cohort`` says that the test split is not the run's own;
    ``origin`` says in the manifest where the model comes from, unless it was trained here.
    """

    title: str
    task: RunTask
    asked: Section
    config: RunConfig
    prepared: PreparedData
    evaluated: Split
    model: nn.Module
    device: torch.device
    history: History | None
    another_cohort: bool
    origin: dict[str, str]
    started: datetime.datetime


def assess(assessment: Assessment, folder: Path) -> EvaluationSummary:
    """Predict, evaluate and run the diagnostics; the results are written to ``folder``."""
    config, prepared = assessment.config, assessment.prepared
    batches = build_batches(config, prepared.tensors, assessment.evaluated)
    predictions = predict_split(assessment.model, batches, assessment.device)
    others = build_batches(config, prepared.tensors, reference_split(assessment.evaluated))
    reference = predict_split(assessment.model, others, assessment.device)
    summary = evaluate_predictions(
        predictions,
        reference,
        prepared.tensors,
        assessment.evaluated,
        settings=config.evaluation,
        seed=config.seed,
        another_cohort=assessment.another_cohort,
    )
    chosen_on = None
    if assessment.history is not None:
        chosen_on = _on_validation(reference, config)
    sanity_checks = run_sanity_checks(assessment.model, batches, assessment.device, config=config, summary=summary)
    findings = run_diagnostics(
        DiagnosticContext(
            config=config,
            history=assessment.history,
            flow=prepared.flow,
            tensors=prepared.tensors,
            summary=summary,
            vocabulary=prepared.vocabulary,
            sanity_checks=sanity_checks,
        )
    )
    manifest = assessment.origin | facts_for_page(
        device=str(assessment.device),
        seed=config.seed,
        fingerprint=prepared.fingerprint,
        started=assessment.started,
    )
    write_results(
        folder,
        RunResults(
            title=assessment.title,
            task=assessment.task,
            config_yaml=as_yaml(assessment.asked),
            prepared=prepared,
            history=assessment.history,
            predictions=predictions,
            summary=summary,
            validation=chosen_on,
            chosen_by=None if assessment.history is None else reference,
            findings=findings,
            manifest=manifest,
        ),
    )
    return summary


def _on_validation(predictions: Predictions, config: RunConfig) -> StepRow:
    """The model's figures on the subjects that chose its epoch, for choosing among runs; the summary is not theirs."""
    settings = config.evaluation
    model = Comparator("model", "model", predictions.hazard, config.clock.kind == "landmark")
    bootstrap = Bootstrap(settings.resamples, settings.confidence, settings.min_events, config.seed)
    (row,), _ = evaluate_steps([model], step=predictions.step, event=predictions.event, bootstrap=bootstrap)
    return row
