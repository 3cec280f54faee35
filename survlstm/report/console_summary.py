"""Preparation and summary → lines that people read, and metrics.json."""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from survlstm.data.prepare import PreparedData
from survlstm.data.split import Split
from survlstm.evaluation.comparison import Comparison
from survlstm.evaluation.evaluated_run import EvaluatedRun
from survlstm.evaluation.results import Difference, Estimate, EvaluationSummary, Finding, LandmarkResult
from survlstm.report.task import RunTask
from survlstm.utils.files import write_json

log = logging.getLogger(__name__)


def log_preparation(prepared: PreparedData) -> None:
    """Every row and subject accounted for, and what the outcome looks like."""
    flow, tensors = prepared.flow, prepared.tensors
    log.info("%s", reading_table(prepared).to_string(index=False))
    for what, made, counts, used in (
        ("Entries", flow.entries_read, flow.entries_left_out, flow.entries_used),
        ("Visits", flow.visits_made, flow.visits_left_out, flow.visits_used),
    ):
        left_out = "; ".join(f"{reason} {count:,}" for reason, count in counts.items())
        log.info("%s: %s; left out: %s; used: %s", what, f"{made:,}", left_out, f"{used:,}")
    rules = "; ".join(
        f"{rule.reason} {rule.subjects}" + (f" ({rule.events} with the event)" if rule.events else "")
        for rule in flow.subjects_excluded
    )
    log.info("Subjects excluded (of %d): %s", flow.subjects_read, rules)
    unknown = "; ".join(f"{what} {count:,}" for what, count in flow.codes_unknown.items())
    log.info("Vocabulary size: %d; unknown to it: %s", len(prepared.vocabulary), unknown)
    sizes = ", ".join(f"{part.name.lower()} {len(tensors.members(part))}" for part in Split)
    log.info("Subjects: %d (%s)", len(tensors.step), sizes)
    log.info("Event rate: %.2f%%", 100 * tensors.event.mean())
    log.info("Median event/censoring step: %.1f", pd.Series(tensors.step).median())
    for name, label in (
        ("risk_time_correlation", "Correlation of mean risk with event step (must be < -0.3)"),
        ("oracle_c_td", "Oracle C-index (c_td), all subjects"),
    ):
        if name in flow.outcome_facts:
            log.info("%s: %.3f", label, flow.outcome_facts[name])
    for warning in flow.warnings:
        log.warning("%s", warning)


def reading_table(prepared: PreparedData) -> pd.DataFrame:
    """One line a table: rows read, used, left out by design and unusable, with the reasons."""
    return pd.DataFrame(
        {
            "table": count.table,
            "rows read": count.rows_read,
            "used": count.rows_used,
            "left out": sum(count.left_out.values()),
            "unusable": sum(count.unusable.values()),
            "why": "; ".join(f"{why} {n:,}" for why, n in {**count.left_out, **count.unusable}.items() if n) or "-",
        }
        for count in prepared.flow.tables
    )


def log_task(task: RunTask) -> None:
    """What is predicted and on whose records: the first line of a command."""
    log.info("Outcome: %s; data: %s", task.outcome, task.data)
    if task.banner:
        log.warning("%s", task.banner)


def log_evaluation(summary: EvaluationSummary, findings: Sequence[Finding], *, banner: str = "") -> None:
    """The sentences, the tables, and what the health checks found; a ``banner`` stands before the sentences."""
    log.info("\nEvaluated subjects (%s): %d, events: %d", summary.split, summary.subjects, summary.events)
    log.info("%s", step_table(summary).to_string(index=False))
    for landmark in summary.landmarks:
        log.info(
            "\nFrom %s: %d at risk, %d events; follow-up median %g, longest %g %s",
            landmark.name,
            landmark.at_risk,
            landmark.events,
            landmark.follow_up,
            landmark.longest,
            landmark.unit,
        )
        if landmark.rows:
            log.info("%s", landmark_table(landmark).to_string(index=False))
        for note in landmark.notes:
            log.info("Note: %s", note)
    for note in summary.notes:
        log.info("Note: %s", note)
    for finding in findings:
        if finding.level in {"warning", "failure"}:
            log.warning("%s: %s (%s)", finding.level.upper(), finding.finding, finding.evidence)
            if finding.advice:
                log.warning("  try: %s", "  or  ".join(finding.advice))
    log.info("Diagnostics: %s", count_findings(findings))
    log.info("\n%s", "\n".join([*([banner] if banner else []), *summary.lines]))


def step_table(summary: EvaluationSummary) -> pd.DataFrame:
    """One line a comparator: c_td and nll with intervals, and what the model has over it."""
    return pd.DataFrame(
        {
            "": row.name,
            "c_td": _estimate(row.c_td, 4),
            "model has more": _difference(row.c_td_difference),
            "nll": _estimate(row.nll, 4),
            "model has less": _difference(row.nll_difference, sign=-1),
        }
        for row in summary.rows
    )


def landmark_table(landmark: LandmarkResult) -> pd.DataFrame:
    """One line a comparator: the figures at the longest horizon, and the integrated Brier score."""
    until = f"{landmark.horizons[-1]:g}"
    return pd.DataFrame(
        {
            "": row.name,
            f"C at {until}": _estimate(row.cells[-1].c_harrell, 3),
            f"AUC at {until}": _estimate(row.cells[-1].auc, 3),
            f"Brier at {until}": _estimate(row.cells[-1].brier, 3),
            "ibs": _estimate(row.ibs, 3),
            "D-calibration p": _p(row.cells[-1].d_calibration),
        }
        for row in landmark.rows
    )


def comparison_table(comparison: Comparison) -> pd.DataFrame:
    """One line a run, the best c_td first; what the best has over each, with the interval and p."""
    return pd.DataFrame(
        {
            "run": row.name,
            "c_td": _estimate(row.c_td, 4),
            "best has more": _difference(row.c_td_difference),
            "p": _p_value(row.c_td_difference),
            "nll": _estimate(row.nll, 4),
            "best has less": _difference(row.nll_difference, sign=-1),
            "p of nll": _p_value(row.nll_difference),
            f"{comparison.split} subjects": comparison.subjects_of[row.name],
        }
        for row in comparison.rows
    )


def count_findings(findings: Sequence[Finding]) -> str:
    """How many checks gave what."""
    counts = Counter(finding.level for finding in findings)
    return ", ".join(f"{counts[level]} {level}" for level in ("failure", "warning", "note", "ok"))


def _estimate(estimate: Estimate | None, digits: int) -> str:
    if estimate is None:
        return "-"
    if estimate.interval is None:
        return f"{estimate.value:.{digits}f}"
    low, high = estimate.interval
    return f"{estimate.value:.{digits}f} ({low:.3f} to {high:.3f})"


def _difference(difference: Difference | None, *, sign: int = 1) -> str:
    if difference is None:
        return "-"
    low, high = sorted(sign * end for end in difference.interval)
    return f"{sign * difference.value:+.3f} ({low:+.3f} to {high:+.3f})"


def _p_value(difference: Difference | None) -> str:
    return _p(None if difference is None else difference.p)


def _p(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def write_metrics(path: Path, run: EvaluatedRun, findings: Sequence[Finding], *, task: RunTask) -> None:
    """Write metrics.json: the summary with its conventions, the findings and the cohort flow.

    Args:
        path: The file.
        run: The evaluated run.
        findings: Findings of the diagnostics and the sanity checks.
        task: Outcome and data of the run.
    """
    summary, history = run.summary, run.history
    content: dict[str, Any] = {"task": to_json(task), summary.split: to_json(summary), "diagnostics": to_json(findings)}
    if run.validation is not None:
        content["validation"] = {"c_td": to_json(run.validation.c_td), "nll": to_json(run.validation.nll)}
    if history is not None:
        best = history.best
        content["training"] = {
            "best_epoch": best.epoch,
            "val_loss": best.val_loss,
            "val_c_td": best.val_c_td,
            "parameters": history.parameters,
            "parameters_per_subject": history.parameters_per_subject,
            "stopped": history.stopped,
        }
    write_json(path, content | {"data": _data(run.prepared)})


def write_failure(path: Path, prepared: PreparedData, finding: Finding, *, task: RunTask) -> None:
    """metrics.json of a run that ended without a model: why, and what to try."""
    log.error("%s: %s", finding.level.upper(), finding.finding)
    log.error("  try: %s", "  or  ".join(finding.advice))
    write_json(path, {"task": to_json(task), "diagnostics": to_json([finding]), "data": _data(prepared)})


def _data(prepared: PreparedData) -> dict[str, Any]:
    return to_json(prepared.flow) | {
        "fingerprint": prepared.fingerprint,
        "vocabulary_size": len(prepared.vocabulary),
    }


def to_json(value: Any) -> Any:
    """Dataclasses, named tuples and arrays as what JSON holds."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: to_json(item) for name, item in value._asdict().items()}
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
