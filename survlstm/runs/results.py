"""Output files of an evaluated run: metrics.json, tables, manifest.json, report.html and its figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from survlstm.data.split import Split
from survlstm.evaluation.diagnostics.training_checks import TIMED
from survlstm.evaluation.evaluated_rows import is_main
from survlstm.evaluation.evaluated_run import EvaluatedRun
from survlstm.evaluation.landmarks import reference_split
from survlstm.evaluation.results import Finding
from survlstm.report.console_summary import log_evaluation, write_metrics
from survlstm.report.page import write_report
from survlstm.report.task import RunDescription
from survlstm.report.value_table import VALUES, MeasureRow, value_table
from survlstm.runs.manifest import complete_manifest
from survlstm.runs.predictions_table import write_days_predictions, write_predictions
from survlstm.runs.validation_file import ValidationRows, write_validation
from survlstm.utils.errors import CheckpointError
from survlstm.utils.files import write_text


def write_results(
    folder: Path,
    run: EvaluatedRun,
    findings: Sequence[Finding],
    *,
    description: RunDescription,
    manifest: dict[str, str],
    values: tuple[MeasureRow, ...] | None,
) -> None:
    """Log the evaluation and write all its files.

    Args:
        folder: The folder of the run or of the evaluation.
        run: The evaluated run.
        findings: Findings of the diagnostics and the sanity checks.
        description: Title, task and configuration, as pages show them.
        manifest: Versions, machine, data and times, as pages show them.
        values: The measures whose values are used; None writes no values.csv.

    Raises:
        CheckpointError: If a file cannot be written.
    """
    log_evaluation(run.summary, findings, banner=description.task.banner)
    try:
        if values is not None:
            write_text(folder / VALUES, value_table(values).to_csv(index=False))
        _write(folder, run, findings, description, manifest, values=values or ())
    except OSError as error:
        raise CheckpointError(
            f"the results must be written to {folder}; the system reports: {error}. The files there are incomplete. "
            "Free space, then evaluate the run again with survlstm evaluate"
        ) from error


def _write(
    folder: Path,
    run: EvaluatedRun,
    findings: Sequence[Finding],
    description: RunDescription,
    manifest: dict[str, str],
    *,
    values: tuple[MeasureRow, ...],
) -> None:
    tensors, split, path = run.prepared.tensors, run.summary.split, folder / "predictions.parquet"
    if tensors.clock == "days":
        assert description.times is not None, "the rules of the prediction times are known on the days clock"
        write_days_predictions(path, run.predictions, tensors, split=split, rules=description.times.evaluated)
    else:
        write_predictions(path, run.predictions, tensors.subject_id, split=split, clock=tensors.clock)
    # Without training no epoch was chosen on the reference subjects, so that runs cannot be compared on them.
    if run.history is not None:
        _write_validation(folder, run, reference_split(Split[split.upper()]))
    # Equal runs must write equal metrics; a finding that depends on the speed of the machine goes into the manifest.
    timed = [finding for finding in findings if finding.check == TIMED]
    untimed = [finding for finding in findings if finding.check != TIMED]
    write_metrics(folder / "metrics.json", run, untimed, task=description.task)
    complete_manifest(folder, manifest | {one.check: f"{one.level}: {one.evidence}" for one in timed})
    # The page is written last: its presence marks the run as finished.
    write_report(folder, run, findings, description=description, manifest=manifest, values=values)


def _write_validation(folder: Path, run: EvaluatedRun, part: Split) -> None:
    """Write the predictions on which runs are compared: on the days clock those of the table over all times."""
    tensors, reference = run.prepared.tensors, run.reference
    if tensors.clock != "days":
        write_validation(folder, reference, tensors.subject_id, clock=tensors.clock)
        return
    compared = reference.at(is_main(tensors, part, reference.row))
    rows = ValidationRows(tensors.row_time[compared.row], tensors.exposure[compared.row])
    write_validation(folder, compared, tensors.subject_id, clock=tensors.clock, rows=rows)
