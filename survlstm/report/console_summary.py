"""Log lines and tables of a run, and metrics.json."""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from survlstm.data.prediction_times import TRAINED
from survlstm.data.prepared_data import PreparedData
from survlstm.data.split import Split
from survlstm.data.values.counts import ValueCounts
from survlstm.evaluation.comparison import Comparison
from survlstm.evaluation.evaluated_run import EvaluatedRun
from survlstm.evaluation.results import (
    Difference,
    Estimate,
    EvaluationSummary,
    Finding,
    GroupEvaluation,
    LandmarkResult,
)
from survlstm.report.days_task import count_in_words
from survlstm.report.formatting import format_count
from survlstm.report.task import RunTask
from survlstm.report.value_table import values_in_words
from survlstm.utils.files import write_json

log = logging.getLogger(__name__)

# Headings of the console for the columns of comparison.csv. A positive difference is in favour of the best run.
COMPARISON_HEADINGS = {
    "c_td": "C-index",
    "best has more": "difference (best \N{MINUS SIGN} run)",
    "best has less": "difference (run \N{MINUS SIGN} best)",
}


def log_preparation(prepared: PreparedData) -> None:
    """Log the counts of the preparation: tables, entries, visits, subjects, vocabulary and outcome.

    Args:
        prepared: The prepared data.
    """
    flow, tensors = prepared.flow, prepared.tensors
    log.info("%s", reading_table(prepared).to_string(index=False))
    added = "".join(
        f"; {what} added: {number:,}"
        for what, number in (("static codes", flow.static_added), ("fused codes of values", flow.fused_added))
        if number
    )
    for name, made, counts, used in (
        ("Entries", f"{flow.entries_read:,}{added}", flow.entries_left_out, flow.entries_used),
        ("Visits", f"{flow.visits_made:,}", flow.visits_left_out, flow.visits_used),
    ):
        left_out = "; ".join(f"{reason} {count:,}" for reason, count in counts.items())
        log.info("%s: %s; left out: %s; used: %s", name, made, left_out, f"{used:,}")
    if flow.values is not None:
        log.info("Values: %s", values_in_words(flow.values))
    rules = "; ".join(
        f"{rule.reason} {rule.subjects}" + (f" ({rule.events} with the event)" if rule.events else "")
        for rule in flow.subjects_excluded
    )
    log.info("Subjects excluded (of %d): %s", flow.subjects_read, rules)
    unknown = "; ".join(f"{name} {count:,}" for name, count in flow.codes_unknown.items())
    log.info("Vocabulary size: %d; unknown to it: %s", len(prepared.vocabulary), unknown)
    sizes = ", ".join(f"{part.name.lower()} {len(tensors.members(part))}" for part in Split)
    log.info("Subjects: %d (%s)", len(tensors.subject_id), sizes)
    log.info("Event rate: %.2f%%", 100 * tensors.has_event.mean())
    if flow.prediction_times is None:
        log.info("Median event/censoring step: %.1f", pd.Series(tensors.step).median())
    else:
        log.info("Prediction times: %s", count_in_words(flow.prediction_times))
        days = np.median(tensors.duration_days[tensors.row_kind == TRAINED])
        log.info("Median time from a prediction time to event/censoring: %.0f days", days)
    for name, label in (
        ("risk_time_correlation", "Correlation of mean risk with event step (must be < -0.3)"),
        ("oracle_c_td", "Oracle C-index, all subjects"),
    ):
        if name in flow.outcome_facts:
            log.info("%s: %.3f", label, flow.outcome_facts[name])
    for key, codes in flow.outcome_codes.items():
        log.info("Drawn from outcome.%s: %s", key, "; ".join(codes))
    for warning in flow.warnings:
        log.warning("%s", warning)


def reading_table(prepared: PreparedData) -> pd.DataFrame:
    """Return the counts of the rows of each table: read, used, left out by design and unusable, with the reasons.

    Args:
        prepared: The prepared data.

    Returns:
        One row for each table of the source, with the columns table, rows read, used, left out, unusable and why.
    """
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
    """Log the outcome and the data, as the first line of a command.

    Args:
        task: Outcome and data of the run; its banner is logged as a warning where it has one.
    """
    log.info("Outcome: %s; data: %s", task.outcome, task.data)
    if task.banner:
        log.warning("%s", task.banner)


def log_evaluation(summary: EvaluationSummary, findings: Sequence[Finding], *, banner: str = "") -> None:
    """Log the tables, the findings and the summary of an evaluation.

    Args:
        summary: The evaluation.
        findings: Findings of the diagnostics and the sanity checks.
        banner: Banner of a drawn outcome, put before the summary.
    """
    log.info("\nEvaluated subjects (%s): %d, events: %d", summary.split, summary.subjects, summary.events)
    log.info("%s", step_table(summary).to_string(index=False))
    for landmark in summary.landmarks:
        log.info(
            "\nFrom %s: %s; follow-up median %g, longest %g %s",
            landmark.name,
            _counts_at(landmark),
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
    if summary.groups is not None:
        _log_groups(summary.groups)
    for finding in findings:
        if finding.level in {"warning", "failure"}:
            # The formatter of the console puts WARNING before a warning, and nothing before an error.
            level, label = (logging.ERROR, "FAILURE: ") if finding.level == "failure" else (logging.WARNING, "")
            log.log(level, "%s%s (%s)", label, finding.finding, finding.evidence)
            if finding.advice:
                log.info("  try: %s", "  or  ".join(finding.advice))
    log.info("Diagnostics: %s", count_findings(findings))
    log.info("\n%s", "\n".join([*([banner] if banner else []), *summary.lines]))


def _counts_at(landmark: LandmarkResult) -> str:
    if landmark.subjects is None:
        return f"{landmark.at_risk} at risk, {landmark.events} events"
    return (
        f"{landmark.at_risk:,} prediction times of {format_count(landmark.subjects, 'subject')} at risk, "
        f"{landmark.events:,} of {format_count(landmark.event_subjects or 0, 'subject')} with the event"
    )


def _log_groups(groups: GroupEvaluation) -> None:
    if groups.rows:
        risks = "" if groups.landmark is None else f"; risks by {groups.horizon:g} {groups.unit} from {groups.landmark}"
        log.info("\nIn groups of the subjects%s", risks)
        log.info("%s", group_table(groups).to_string(index=False))
    for note in groups.notes:
        log.info("Note: %s", note)


def group_table(groups: GroupEvaluation) -> pd.DataFrame:
    """Return the metrics of the model in each group.

    Args:
        groups: The model in groups of subjects.

    Returns:
        One row for each group, with metrics and intervals as text; a dash for what is not shown or cannot be computed.
    """
    return pd.DataFrame(
        {
            "": row.kind,
            "group": row.name,
            "subjects": row.subjects,
            "events": "-" if row.events is None else row.events,
            "C-index": _estimate(row.c_td, 3),
            "predicted risk": _p(row.predicted),
            "observed risk": _estimate(row.observed, 3),
        }
        for row in groups.rows
    )


def step_table(summary: EvaluationSummary) -> pd.DataFrame:
    """Return C-index and negative log-likelihood of every model, with intervals and differences.

    Args:
        summary: The evaluation.

    Returns:
        One row for each model. The signs of the differences are such that a positive one is in favour of the model.
    """
    return pd.DataFrame(
        {
            "": row.name,
            "C-index": _estimate(row.c_td, 4),
            "difference (model \N{MINUS SIGN} comparator)": _difference(row.c_td_difference),
            "nll": _estimate(row.nll, 4),
            "difference (comparator \N{MINUS SIGN} model)": _difference(row.nll_difference, sign=-1),
        }
        for row in summary.rows
    )


def landmark_table(landmark: LandmarkResult) -> pd.DataFrame:
    """Return the metrics of every model at the longest horizon of a landmark, and the integrated Brier score.

    Args:
        landmark: Results of all models from one landmark; it has at least one horizon.

    Returns:
        One row for each model, with metrics and intervals as text; a dash for a metric that cannot be computed.
    """
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
    """Return the metrics of compared runs, with differences from the best run.

    Args:
        comparison: The comparison.

    Returns:
        One row for each run, the highest C-index first, with the columns of comparison.csv; ``COMPARISON_HEADINGS`` are
        the headings of the console.
    """
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
    """Count the findings of each level.

    Args:
        findings: Findings of the diagnostics and the sanity checks.

    Returns:
        Text such as ``0 failure, 2 warning, 1 note, 14 ok``.
    """
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
    evaluation = to_json(summary)
    # Left out where there are none: parts of a model, and the subjects of several prediction times on the days clock.
    counts = [(landmark, name) for landmark in evaluation["landmarks"] for name in ("subjects", "event_subjects")]
    for plain, name in [(evaluation, "parts"), *counts]:
        if plain[name] is None:
            del plain[name]
    content: dict[str, Any] = {"task": to_json(task), summary.split: evaluation, "diagnostics": to_json(findings)}
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
    """Log the failure of a run that ended without a model, and write its metrics.json.

    Args:
        path: The file.
        prepared: The prepared data.
        finding: The failure, with overrides to try.
        task: Outcome and data of the run.
    """
    log.error("%s: %s", finding.level.upper(), finding.finding)
    log.error("  try: %s", "  or  ".join(finding.advice))
    write_json(path, {"task": to_json(task), "diagnostics": to_json([finding]), "data": _data(prepared)})


def _data(prepared: PreparedData) -> dict[str, Any]:
    flow = to_json(prepared.flow)
    if prepared.flow.prediction_times is None:
        del flow["prediction_times"]
    else:
        flow["edge_days"] = prepared.tensors.edge_days.tolist()
    return flow | {
        "values": _value_totals(prepared.flow.values),
        "fingerprint": prepared.fingerprint,
        "vocabulary_size": len(prepared.vocabulary),
    }


def _value_totals(counts: ValueCounts | None) -> dict[str, int] | None:
    """Return the counts of values without the table of measures, which is in values.csv."""
    if counts is None:
        return None
    return to_json(counts) | {
        "measures": len(counts.measures),
        "with_bins": sum(bool(each.edges) for each in counts.measures),
        "with_columns": sum(each.has_columns for each in counts.measures),
    }


def to_json(value: Any) -> Any:
    """Convert dataclasses, named tuples and arrays to values that JSON can hold.

    Args:
        value: The value, nested at will.

    Returns:
        Dictionaries, lists, strings and numbers.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: to_json(item) for name, item in value._asdict().items()}
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
