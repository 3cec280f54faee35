"""Write the results of an evaluation: metrics.json, predictions.parquet, manifest.json, report.html and figures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from survlstm.data.prepare import PreparedData
from survlstm.evaluation.diagnostics.training_checks import TIMED
from survlstm.evaluation.results import EvaluationSummary, Finding, StepRow
from survlstm.report.console_summary import log_evaluation, write_metrics
from survlstm.report.page import write_report
from survlstm.report.task import RunTask
from survlstm.runs.manifest import complete_manifest
from survlstm.runs.predictions_table import write_predictions
from survlstm.runs.validation_file import write_validation
from survlstm.training.history import History
from survlstm.training.prediction import Predictions
from survlstm.utils.errors import CheckpointError


@dataclass(frozen=True)
class RunResults:
    """What was judged: ``history`` is None where nothing was trained, and so are ``validation``, the model's figures on
    the subjects that chose its epoch, and ``chosen_by``, the predictions of these.
    """

    title: str
    task: RunTask
    config_yaml: str
    prepared: PreparedData
    history: History | None
    predictions: Predictions
    summary: EvaluationSummary
    validation: StepRow | None
    chosen_by: Predictions | None
    findings: tuple[Finding, ...]
    manifest: dict[str, str]


def write_results(folder: Path, judged: RunResults) -> None:
    """Log the evaluation and write all results to ``folder``.

    Raises:
        CheckpointError: If the results can't be written.
    """
    log_evaluation(judged.summary, judged.findings, banner=judged.task.banner)
    try:
        _write(folder, judged)
    except OSError as error:
        raise CheckpointError(
            f"the results must be written to {folder}; the system says: {error}. What stands there is not complete. "
            "Free space, then judge the run again with survlstm evaluate"
        ) from error


def _write(folder: Path, judged: RunResults) -> None:
    write_predictions(
        folder / "predictions.parquet",
        judged.predictions,
        judged.prepared.tensors.subject_id,
        split=judged.summary.split,
        clock=judged.summary.clock,
    )
    if judged.chosen_by is not None:
        tensors = judged.prepared.tensors
        write_validation(folder, judged.chosen_by, tensors.subject_id, clock=tensors.clock)
    write_metrics(
        folder / "metrics.json",
        judged.prepared,
        judged.history,
        task=judged.task,
        summary=judged.summary,
        validation=judged.validation,
        # Equal runs write equal metrics.json, so measured times are written to the manifest.
        findings=[finding for finding in judged.findings if finding.check != TIMED],
    )
    timed = {one.check: f"{one.level}: {one.evidence}" for one in judged.findings if one.check == TIMED}
    complete_manifest(folder, judged.manifest | timed)
    write_report(
        folder,
        title=f"{judged.title}: {judged.task.title}",
        banner=judged.task.banner,
        summary=judged.summary,
        findings=judged.findings,
        flow=judged.prepared.flow,
        history=judged.history,
        config_yaml=judged.config_yaml,
        manifest=judged.manifest,
    )
