"""Files of an explanation: codes.csv, subject.csv, subject.json and explanation.json."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64

from survlstm.explanation.effects import METHODS
from survlstm.explanation.findings import ExplanationResults
from survlstm.explanation.text import conventions, headline, summary_lines, warnings
from survlstm.utils.files import write_json, write_text


def write_tables(folder: Path, results: ExplanationResults, entries: tuple[str, ...]) -> None:
    """Write the four files, each atomically.

    ``subject.csv`` and ``subject.json`` hold the id and the dates of one subject and are readable by their owner only.
    The other files hold neither ids nor dates.

    Args:
        folder: existing folder to write to.
        results: the results to write.
        entries: names in the vocabulary, in the order of their indices.
    """
    write_text(folder / "codes.csv", code_table(results).to_csv(index=False))
    write_text(folder / "subject.csv", subject_table(results, entries).to_csv(index=False), private=True)
    times = [str(time) for time in results.over_time.record.time]
    write_json(folder / "subject.json", {"subject_id": results.subject_id, "time": times}, private=True)
    write_json(folder / "explanation.json", results_as_json(results))


def code_table(results: ExplanationResults) -> pd.DataFrame:
    """Make the table of codes.

    Args:
        results: the results of the explanation.

    Returns:
        One row per code, ordered by the mean of its ranks under both methods: code, description, subjects, is_planted
        (only if the outcome was drawn from planted codes), and for each method rank, importance and mean effect with
        their intervals, and the share of resamples in which the code is among the first. Effects and importances are
        log-odds of the event.
    """
    columns: dict[str, Any] = {
        "code": results.names,
        "description": [results.described.get(name, "") for name in results.names],
        "subjects": results.effects.present.sum(axis=0),
    }
    if results.planted:
        columns["is_planted"] = np.isin(results.names, results.planted_codes)
    for method in METHODS:
        ranking, stem = results.rankings[method], method.replace(" ", "_")
        columns |= {
            f"{stem}_rank": ranking.rank,
            f"{stem}_importance": ranking.importance,
            f"{stem}_importance_low": ranking.importance_interval[:, 0],
            f"{stem}_importance_high": ranking.importance_interval[:, 1],
            f"{stem}_mean_effect": ranking.effect,
            f"{stem}_mean_effect_low": ranking.effect_interval[:, 0],
            f"{stem}_mean_effect_high": ranking.effect_interval[:, 1],
            f"{stem}_share_in_top_{results.about.top}": ranking.top_share,
        }
    return pd.DataFrame(columns).iloc[results.order()]


def subject_table(results: ExplanationResults, entries: tuple[str, ...]) -> pd.DataFrame:
    """Make the table of one subject, which holds its id and its dates.

    Args:
        results: the results of the explanation.
        entries: names in the vocabulary, in the order of their indices.

    Returns:
        One row per code of each visit that the model reads, ordered by visit, then by code; ``visit`` counts from 0 in
        the whole record. Log-odds, attributions and effects are log-odds of the event.
    """
    over_time = results.over_time
    names = [entries[code] for code in over_time.cell_code]
    return pd.DataFrame(
        {
            "subject_id": results.subject_id,
            "visit": over_time.record.first_visit + over_time.cell_visit,
            "time": over_time.record.time[over_time.cell_visit],
            "log_odds_after_visit": over_time.trajectory[over_time.cell_visit],
            "code": names,
            "description": [results.described.get(name, "") for name in names],
            "entries": over_time.cell_entries,
            "integrated_gradients": over_time.cell_attribution,
            "occlusion_of_code": over_time.occlusion.effect[
                np.searchsorted(over_time.occlusion.code, over_time.cell_code)
            ],
        }
    )


def days_since_first(time: np.ndarray) -> Float64[np.ndarray, " visit"]:
    """Compute the days from the first visit to each visit, which may be shown in place of dates.

    Args:
        time: time of each visit in ascending order, datetime64; shape (visit,), at least one.

    Returns:
        Days, 0 for the first visit; shape (visit,).
    """
    return (time - time[0]) / np.timedelta64(1, "D")


def results_as_json(results: ExplanationResults) -> dict[str, Any]:
    """Make the content of explanation.json: all results except the tables.

    Args:
        results: the results of the explanation.

    Returns:
        Values for ``write_json``, without ids and dates of subjects.
    """
    effects, over_time = results.effects, results.over_time
    planted = results.planted and {
        name: {method: ranks._asdict() for method, ranks in by_method.items()}
        for name, by_method in (
            ("by_importance", results.planted.by_importance),
            ("by_effect", results.planted.by_effect),
        )
    }
    return {
        "headline": headline(results),
        "lines": summary_lines(results),
        "warnings": warnings(results),
        "conventions": conventions(results),
        "about": asdict(results.about),
        "codes_ranked": len(results.names),
        "first_codes": {
            method: [results.names[index] for index in np.argsort(ranking.rank)[: results.about.top]]
            for method, ranking in results.rankings.items()
        },
        "rank_agreement": results.agreement,
        "integration": {
            "mean_delta": float(np.abs(effects.delta).mean()),
            "largest_delta": float(np.abs(effects.delta).max()),
            "missed_share": results.missed,
        },
        "shuffled_weights": {
            "codes": results.sanity.codes,
            "sentences": [results.sanity.sentence(method) for method in METHODS],
            **{
                method: {
                    "correlations": results.sanity.correlations[method],
                    "mean": results.sanity.mean(method),
                    "passes": results.sanity.passes(method),
                }
                for method in METHODS
            },
        },
        "planted_codes": results.planted_codes,
        "planted": planted,
        "subject": {
            "log_odds": over_time.gradients.log_odds,
            "baseline_log_odds": over_time.gradients.baseline_log_odds,
            "delta": over_time.gradients.delta,
            "first_visit": over_time.record.first_visit,
            "days": days_since_first(over_time.record.time).tolist(),
            "log_odds_after_visit": over_time.trajectory.tolist(),
        },
    }
