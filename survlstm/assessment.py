"""A trained model and a split → its verdict with health checks, shown and written."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from survlstm.build import build_batches
from survlstm.compose import as_yaml
from survlstm.config import RunConfig, Section
from survlstm.data.prepare import Prepared
from survlstm.data.split import Split
from survlstm.judgement.canaries import run_canaries
from survlstm.judgement.health import HealthFacts, check_health
from survlstm.judgement.landmarks import reference_of
from survlstm.judgement.results import Verdict
from survlstm.judgement.verdict import judge
from survlstm.report.manifest import make_manifest
from survlstm.report.results_folder import Judged, write_results
from survlstm.training.history import History
from survlstm.training.prediction import predict


@dataclass(frozen=True)
class Assessment:
    """What is assessed, and how: ``asked`` is the config of the command, ``config`` that of the run.

    ``history`` is None where nothing was trained; ``another_cohort`` says that the test split is not the run's own;
    ``origin`` says in the manifest where the model comes from, unless it was trained here.
    """

    title: str
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
    manifest = assessment.origin | make_manifest(
        device=str(assessment.device),
        seed=config.seed,
        fingerprint=prepared.fingerprint,
        started=assessment.started,
    )
    write_results(
        folder,
        Judged(
            title=assessment.title,
            config_yaml=as_yaml(assessment.asked),
            prepared=prepared,
            history=assessment.history,
            predictions=predictions,
            verdict=verdict,
            findings=findings,
            manifest=manifest,
        ),
    )
    return verdict
