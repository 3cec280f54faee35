"""Preparation and verdict → lines that people read, and metrics.json."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

import pandas as pd

from survlstm.data.prepare import Prepared
from survlstm.data.split import Split
from survlstm.judgement.verdict import Verdict
from survlstm.training.history import History, write_json

log = logging.getLogger(__name__)


def show_preparation(prepared: Prepared) -> None:
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
    log.info("Vocabulary size: %d", len(prepared.vocabulary))
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
        log.warning("WARNING: %s", warning)


def reading_table(prepared: Prepared) -> pd.DataFrame:
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


def show_verdict(verdict: Verdict) -> None:
    """The table of contenders and the sentence."""
    rows = pd.DataFrame(
        {
            "": row.name,
            "test c_td": f"{row.c_td:.4f}",
            "interval": f"{row.interval.low:.3f} to {row.interval.high:.3f}" if row.interval else "-",
            "test nll": f"{row.nll:.4f}",
        }
        for row in verdict.figures
    )
    log.info("\nTest subjects: %d, events: %d", verdict.subjects, verdict.events)
    log.info("%s", rows.to_string(index=False))
    for note in verdict.notes:
        log.info("Note: %s", note)
    log.info("\n%s", verdict.sentence)


def write_metrics(path: Path, prepared: Prepared, history: History, verdict: Verdict) -> None:
    """metrics.json: the verdict with its convention, and the way the data took."""
    best = history.epochs[history.best_epoch - 1]
    content: dict[str, Any] = {
        "test": dataclasses.asdict(verdict) | {"figures": [_figures(row) for row in verdict.figures]},
        "val": {"loss": best.val_loss, "c_td": best.val_c_td, "epoch": best.epoch},
        "parameters": history.parameters,
        "parameters_per_subject": history.parameters_per_subject,
        "stopped": history.stopped,
        "data": dataclasses.asdict(prepared.flow)
        | {"subjects_excluded": [rule._asdict() for rule in prepared.flow.subjects_excluded]}
        | {"fingerprint": prepared.fingerprint, "vocabulary_size": len(prepared.vocabulary)},
    }
    write_json(path, content)


def _figures(row: Any) -> dict[str, Any]:
    interval = {"low": row.interval.low, "high": row.interval.high} if row.interval else None
    return {"name": row.name, "c_td": row.c_td, "interval": interval, "nll": row.nll}
