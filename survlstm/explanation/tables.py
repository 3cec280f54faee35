"""Findings → codes.csv, subject.csv and explanation.json."""

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


def write_tables(folder: Path, found: ExplanationResults, entries: tuple[str, ...]) -> None:
    """Write the four files, each whole; ``entries`` are those of the vocabulary.

    The subject's own files hold its id and dates, and its owner alone can read them; the others hold neither.
    """
    write_text(folder / "codes.csv", code_table(found).to_csv(index=False))
    write_text(folder / "subject.csv", subject_table(found, entries).to_csv(index=False), private=True)
    times = [str(time) for time in found.over_time.record.time]
    write_json(folder / "subject.json", {"subject_id": found.subject_id, "time": times}, private=True)
    write_json(folder / "explanation.json", results_as_json(found))


def code_table(found: ExplanationResults) -> pd.DataFrame:
    """One row a code, the best mean of both ranks first; effects and importances are log-odds of the event."""
    columns: dict[str, Any] = {
        "code": found.names,
        "description": [found.described.get(name, "") for name in found.names],
        "subjects": found.effects.present.sum(axis=0),
    }
    if found.planted:
        columns["is_planted"] = np.isin(found.names, found.planted_codes)
    for method in METHODS:
        ranking, stem = found.rankings[method], method.replace(" ", "_")
        columns |= {
            f"{stem}_rank": ranking.rank,
            f"{stem}_importance": ranking.importance,
            f"{stem}_importance_low": ranking.importance_interval[:, 0],
            f"{stem}_importance_high": ranking.importance_interval[:, 1],
            f"{stem}_mean_effect": ranking.effect,
            f"{stem}_mean_effect_low": ranking.effect_interval[:, 0],
            f"{stem}_mean_effect_high": ranking.effect_interval[:, 1],
            f"{stem}_share_in_top_{found.about.top}": ranking.top_share,
        }
    return pd.DataFrame(columns).iloc[found.order()]


def subject_table(found: ExplanationResults, entries: tuple[str, ...]) -> pd.DataFrame:
    """One row for each code of each visit of the subject, in order; visits count from 0 in the subject's record."""
    story = found.over_time
    names = [entries[code] for code in story.cell_code]
    return pd.DataFrame(
        {
            "subject_id": found.subject_id,
            "visit": story.record.first_visit + story.cell_visit,
            "time": story.record.time[story.cell_visit],
            "log_odds_after_visit": story.trajectory[story.cell_visit],
            "code": names,
            "description": [found.described.get(name, "") for name in names],
            "entries": story.cell_entries,
            "integrated_gradients": story.cell_attribution,
            "occlusion_of_code": story.occlusion.effect[np.searchsorted(story.occlusion.code, story.cell_code)],
        }
    )


def days_since_first(time: np.ndarray) -> Float64[np.ndarray, " visit"]:
    """Days between the first visit and each: what may be shown of a subject's dates."""
    return (time - time[0]) / np.timedelta64(1, "D")


def results_as_json(found: ExplanationResults) -> dict[str, Any]:
    """Everything in words and numbers but the tables."""
    effects, story = found.effects, found.over_time
    planted = found.planted and {
        name: {method: one._asdict() for method, one in by_method.items()}
        for name, by_method in (("by_importance", found.planted.by_importance), ("by_effect", found.planted.by_effect))
    }
    return {
        "headline": headline(found),
        "lines": summary_lines(found),
        "warnings": warnings(found),
        "conventions": conventions(found),
        "about": asdict(found.about),
        "codes_ranked": len(found.names),
        "first_codes": {
            method: [found.names[place] for place in np.argsort(ranking.rank)[: found.about.top]]
            for method, ranking in found.rankings.items()
        },
        "rank_agreement": found.agreement,
        "integration": {
            "mean_delta": float(np.abs(effects.delta).mean()),
            "largest_delta": float(np.abs(effects.delta).max()),
            "missed_share": found.missed,
        },
        "shuffled_weights": {
            "codes": found.sanity.codes,
            "sentences": [found.sanity.sentence(method) for method in METHODS],
            **{
                method: {
                    "correlations": found.sanity.correlations[method],
                    "mean": found.sanity.mean(method),
                    "passes": found.sanity.passes(method),
                }
                for method in METHODS
            },
        },
        "planted_codes": found.planted_codes,
        "planted": planted,
        "subject": {
            "log_odds": story.gradients.log_odds,
            "baseline_log_odds": story.gradients.baseline_log_odds,
            "delta": story.gradients.delta,
            "first_visit": story.record.first_visit,
            "days": days_since_first(story.record.time).tolist(),
            "log_odds_after_visit": story.trajectory.tolist(),
        },
    }
