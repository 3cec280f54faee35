"""A trained model and a split → its verdict with health checks, shown and written."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from survlstm.config.schema import RunConfig
from survlstm.config.section import Section, as_yaml
from survlstm.data.factory import build_batches
from survlstm.data.prepare import Prepared
from survlstm.data.split import Split
from survlstm.evaluation.bootstrap import Bootstrap
from survlstm.evaluation.comparators import Contender
from survlstm.evaluation.diagnostics import HealthFacts, check_health
from survlstm.evaluation.evaluate_run import judge
from survlstm.evaluation.landmarks import reference_of
from survlstm.evaluation.results import Row, Verdict
from survlstm.evaluation.sanity_checks import run_canaries
from survlstm.evaluation.step_metrics import judge_steps
from survlstm.report.task import Task
from survlstm.runs.manifest import shown_facts
from survlstm.runs.results import Judged, write_results
from survlstm.training.history import History
from survlstm.training.prediction import Predictions, predict


@dataclass(frozen=True)
class Assessment:
    """What is assessed, and how: ``asked`` is the config of the command, ``config`` that of the run.

    ``history`` is None where nothing was trained; ``another_cohort`` says that the test split is not the run's own;
    ``origin`` says in the manifest where the model comes from, unless it was trained here.
    """

    title: str
    task: Task
    asked: Section
    config: RunConfig
    prepared: Prepared
    evaluated: Split
    model: nn.Module
    device: torch.device
    history: History | None
    another_cohort: bool
    origin: dict[str, str]
    started: datetime.datetime


def assess(assessment: Assessment, folder: Path) -> Verdict:
    """Predict, judge, check; ``folder`` holds the results afterwards."""
    config, prepared = assessment.config, assessment.prepared
    batches = build_batches(config, prepared.tensors, assessment.evaluated)
    predictions = predict(assessment.model, batches, assessment.device)
    others = build_batches(config, prepared.tensors, reference_of(assessment.evaluated))
    reference = predict(assessment.model, others, assessment.device)
    verdict = judge(
        predictions,
        reference,
        prepared.tensors,
        assessment.evaluated,
        settings=config.judgement,
        seed=config.seed,
        another_cohort=assessment.another_cohort,
    )
    chosen_on = None
    if assessment.history is not None:
        chosen_on = _on_validation(reference, config)
    canaries = run_canaries(assessment.model, batches, assessment.device, config=config, verdict=verdict)
    findings = check_health(
        HealthFacts(
            config=config,
            history=assessment.history,
            flow=prepared.flow,
            tensors=prepared.tensors,
            verdict=verdict,
            vocabulary=prepared.vocabulary,
            canaries=canaries,
        )
    )
    manifest = assessment.origin | shown_facts(
        device=str(assessment.device),
        seed=config.seed,
        fingerprint=prepared.fingerprint,
        started=assessment.started,
    )
    write_results(
        folder,
        Judged(
            title=assessment.title,
            task=assessment.task,
            config_yaml=as_yaml(assessment.asked),
            prepared=prepared,
            history=assessment.history,
            predictions=predictions,
            verdict=verdict,
            validation=chosen_on,
            chosen_by=None if assessment.history is None else reference,
            findings=findings,
            manifest=manifest,
        ),
    )
    return verdict


def _on_validation(predictions: Predictions, config: RunConfig) -> Row:
    """The model's figures on the subjects that chose its epoch, for choosing among runs; the verdict is not theirs."""
    settings = config.judgement
    model = Contender("model", "model", predictions.hazard, config.clock.kind == "landmark")
    bootstrap = Bootstrap(settings.resamples, settings.confidence, settings.min_events, config.seed)
    (row,), _ = judge_steps([model], step=predictions.step, event=predictions.event, bootstrap=bootstrap)
    return row
