"""Evaluation of a trained model on one split, with its diagnostics and its output files."""

from __future__ import annotations

import dataclasses
import datetime
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from survlstm.config.schema.run import RunConfig
from survlstm.data.batches import Batches
from survlstm.data.factory import build_batches, build_settings
from survlstm.data.prepared_data import PreparedData
from survlstm.data.split import Split
from survlstm.evaluation.diagnostics import run_diagnostics
from survlstm.evaluation.diagnostics.context import DiagnosticContext
from survlstm.evaluation.evaluate_run import evaluate_model, evaluate_predictions
from survlstm.evaluation.evaluated_rows import is_main
from survlstm.evaluation.evaluated_run import EvaluatedRun
from survlstm.evaluation.landmarks import reference_split
from survlstm.evaluation.likelihood_parts import describe_parts, likelihood_parts
from survlstm.evaluation.results import EvaluationSummary
from survlstm.evaluation.sanity_checks import run_sanity_checks
from survlstm.evaluation.settings import EvaluationSettings
from survlstm.models.protocol import LinearStart, ModelInputs
from survlstm.report.task import RunDescription
from survlstm.report.value_table import value_rows
from survlstm.runs.evaluation_settings import evaluation_settings, run_settings
from survlstm.runs.manifest import facts_for_page
from survlstm.runs.results import write_results
from survlstm.training.history import History
from survlstm.training.prediction import Predictions, predict_split


@dataclass(frozen=True)
class Assessment:
    """A model to be evaluated.

    Attributes:
        description: Title, task and configuration of the command, as pages show them.
        config: Configuration of the run, with the evaluation settings that apply.
        prepared: The data.
        evaluated: The split to evaluate.
        model: The trained model, on ``device``.
        device: Device of the predictions.
        history: Epochs of the training; None where a saved model is evaluated.
        another_cohort: Whether the test split holds the subjects of another cohort than the run's own.
        origin: Entries of the manifest that name the evaluated run; empty for a model that was just trained.
        started: Start of the command.
        descriptions: Description of each code whose values are used; codes without one are absent.
    """

    description: RunDescription
    config: RunConfig
    prepared: PreparedData
    evaluated: Split
    model: nn.Module
    device: torch.device
    history: History | None
    another_cohort: bool
    origin: dict[str, str]
    started: datetime.datetime
    descriptions: dict[str, str]


def assess(assessment: Assessment, folder: Path) -> EvaluationSummary:
    """Predict, evaluate, run the diagnostics and write the results.

    Args:
        assessment: The model, its data and its settings.
        folder: The folder that receives the files.

    Returns:
        The summary of the evaluation.

    Raises:
        CheckpointError: If a file can't be written.
    """
    config, prepared = assessment.config, assessment.prepared
    tensors, settings = prepared.tensors, evaluation_settings(config.evaluation, seed=config.seed)
    batches = build_batches(config, tensors, assessment.evaluated, all_rows=True)
    predictions = predict_split(assessment.model, batches, assessment.device)
    of_reference = reference_split(assessment.evaluated)
    reference_batches = build_batches(config, tensors, of_reference, all_rows=True)
    reference = predict_split(assessment.model, reference_batches, assessment.device)
    summary = evaluate_predictions(
        predictions,
        reference,
        tensors,
        assessment.evaluated,
        settings=settings,
        another_cohort=assessment.another_cohort,
    )
    summary = _with_parts(assessment, batches, predictions, summary, settings)
    validation = None
    if assessment.history is not None:
        # Runs are compared and tuned on these subjects, so that no choice among runs is made on the test subjects.
        validation = evaluate_model(reference, tensors, of_reference, settings=settings)
    run = EvaluatedRun(prepared, assessment.history, predictions, reference, summary, validation)
    context = DiagnosticContext(run, run_settings(config), settings)
    sanity_checks = run_sanity_checks(
        assessment.model,
        batches,
        assessment.device,
        summary=summary,
        settings=settings,
        random_outcome=context.settings.random_outcome,
    )
    findings = run_diagnostics(context, sanity_checks=sanity_checks)
    manifest = assessment.origin | facts_for_page(
        device=str(assessment.device),
        seed=config.seed,
        fingerprint=prepared.fingerprint,
        started=assessment.started,
    )
    counts = prepared.flow.values
    values = None if counts is None else value_rows(counts, assessment.descriptions, build_settings(config))
    write_results(folder, run, findings, description=assessment.description, manifest=manifest, values=values)
    return summary


class _LinearPart(nn.Module):
    """The linear part of a model, as a model of its own."""

    def __init__(self, model: LinearStart) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: ModelInputs) -> Tensor:
        return self.model.linear_logits(inputs)


def _with_parts(
    assessment: Assessment,
    batches: Batches,
    predictions: Predictions,
    summary: EvaluationSummary,
    settings: EvaluationSettings,
) -> EvaluationSummary:
    """Add the shares of the parts of a model with a linear part, as values and as a sentence."""
    if not isinstance(assessment.model, LinearStart):
        return summary
    linear = predict_split(_LinearPart(assessment.model), batches, assessment.device)
    if summary.clock == "days":
        kept = is_main(batches.tensors, assessment.evaluated, predictions.row)
        predictions, linear = predictions.at(kept), linear.at(kept)
    parts = likelihood_parts(
        predictions.nll,
        linear.nll,
        predictions.subject,
        rows=summary.rows,
        events=summary.events,
        bootstrap=settings.bootstrap,
    )
    line = describe_parts(parts, unit="prediction time" if summary.clock == "days" else "subject")
    return dataclasses.replace(summary, parts=parts, lines=(*summary.lines, line))
