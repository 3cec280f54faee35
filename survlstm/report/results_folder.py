"""A verdict and what led to it → metrics.json, predictions.parquet, manifest.json, report.html and its figures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from survlstm.data.prepare import Prepared
from survlstm.errors import CheckpointError
from survlstm.judgement.health import TIMED
from survlstm.judgement.results import Finding, Row, Verdict
from survlstm.report.manifest import complete_manifest
from survlstm.report.page import write_report
from survlstm.report.predictions_table import write_predictions
from survlstm.report.summary import show_verdict, write_metrics
from survlstm.training.history import History
from survlstm.training.prediction import Predictions


@dataclass(frozen=True)
class Judged:
    """What was judged: ``history`` is None where nothing was trained, and so is ``validation``, the model's figures on
    the subjects that chose its epoch.
    """

    title: str
    config_yaml: str
    prepared: Prepared
    history: History | None
    predictions: Predictions
    verdict: Verdict
    validation: Row | None
    findings: tuple[Finding, ...]
    manifest: dict[str, str]


def write_results(folder: Path, judged: Judged) -> None:
    """Show the verdict and leave everything in ``folder``; CheckpointError where it can't be written."""
    show_verdict(judged.verdict, judged.findings)
    try:
        _write(folder, judged)
    except OSError as error:
        raise CheckpointError(
            f"the results must be written to {folder}; the system says: {error}. What stands there is not complete. "
            "Free space, then judge the run again with survlstm evaluate"
        ) from error


def _write(folder: Path, judged: Judged) -> None:
    write_predictions(
        folder / "predictions.parquet",
        judged.predictions,
        judged.prepared.tensors.subject_id,
        split=judged.verdict.split,
        clock=judged.verdict.clock,
    )
    write_metrics(
        folder / "metrics.json",
        judged.prepared,
        judged.history,
        verdict=judged.verdict,
        validation=judged.validation,
        # Equal runs leave an equal metrics.json: what the clock says stands in the manifest.
        findings=[finding for finding in judged.findings if finding.check != TIMED],
    )
    timed = {one.check: f"{one.level}: {one.evidence}" for one in judged.findings if one.check == TIMED}
    complete_manifest(folder, judged.manifest | timed)
    write_report(
        folder,
        title=judged.title,
        verdict=judged.verdict,
        findings=judged.findings,
        flow=judged.prepared.flow,
        history=judged.history,
        config_yaml=judged.config_yaml,
        manifest=judged.manifest,
    )
