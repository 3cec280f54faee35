"""Comparison of several runs on the subjects that they share, by the paired bootstrap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from survlstm.evaluation.bootstrap import Bootstrap
from survlstm.evaluation.comparators import Comparator
from survlstm.evaluation.results import StepRow
from survlstm.evaluation.step_metrics import evaluate_steps
from survlstm.survival.concordance import concordance_td
from survlstm.utils.errors import CohortError, OutcomeError


@dataclass(frozen=True)
class Comparison:
    """Result of a comparison of runs.

    Attributes:
        split: The split of the predictions.
        rows: One row for each run, the highest C-index first. Differences are the first row minus this row.
        subjects: Number of shared subjects.
        events: Number of events among the shared subjects.
        subjects_of: Number of subjects of each run, by the name of the run.
        notes: What is missing or differs, and why.
    """

    split: str
    rows: tuple[StepRow, ...]
    subjects: int
    events: int
    subjects_of: dict[str, int]
    notes: tuple[str, ...]


def compare(predictions: dict[str, pd.DataFrame], bootstrap: Bootstrap) -> Comparison:
    """Compare runs on the subjects that all of them hold.

    Args:
        predictions: Tables of predictions.parquet, by the name of the run.
        bootstrap: Settings of the intervals.

    Returns:
        The comparison; a note says where the subjects of the runs differ.

    Raises:
        OutcomeError: If the runs differ in clock, split or labels.
        CohortError: If the runs share no subject.
    """
    clocks = {name: table.attrs["clock"] for name, table in predictions.items()}
    if len(set(clocks.values())) > 1:
        raise OutcomeError(f"runs must have the same clock to be compared; found {clocks}")
    splits = {name: str(table["split"].iloc[0]) for name, table in predictions.items()}
    if len(set(splits.values())) > 1:
        raise OutcomeError(f"predictions must be of the same split to be compared; found {splits}")
    labels = {name: _labels(table) for name, table in predictions.items()}
    shared = sorted(set.intersection(*(set(label.index) for label in labels.values())))
    sizes = {name: len(label) for name, label in labels.items()}
    if not shared:
        raise CohortError(
            f"the runs must share subjects; {sizes} have none in common. Compare runs of one cohort and split.seed"
        )
    _refuse_other_labels({name: label.loc[shared] for name, label in labels.items()})
    first, split = next(iter(labels.values())).loc[shared], next(iter(splits.values()))
    step, event = first["last_step"].to_numpy(np.int64), first["event"].to_numpy(bool)
    comparators = [
        Comparator(name, "model", _hazards(table, shared), clocks[name] == "landmark")
        for name, table in predictions.items()
    ]
    # The best run comes first, because every difference is taken from the first row.
    comparators.sort(key=lambda one: -_c_td_or_last(one, step, event))
    rows, notes = evaluate_steps(comparators, step=step, event=event, bootstrap=bootstrap)
    if len(set(sizes.values())) > 1 or len(shared) < max(sizes.values()):
        counts = ", ".join(f"{name} {size}" for name, size in sizes.items())
        notes.insert(
            0, f"the {split} sets differ ({counts} subjects): compared on the {len(shared)} that all of them hold"
        )
    return Comparison(split, rows, len(shared), int(event.sum()), sizes, tuple(notes))


def _c_td_or_last(comparator: Comparator, step: np.ndarray, event: np.ndarray) -> float:
    c_td = concordance_td(comparator.survival, step=step, event=event).c_td
    return -1.0 if np.isnan(c_td) else c_td


def _labels(table: pd.DataFrame) -> pd.DataFrame:
    return table.groupby("subject_id", sort=True)[["last_step", "event"]].first()


def _refuse_other_labels(labels: dict[str, pd.DataFrame]) -> None:
    first_name, first = next(iter(labels.items()))
    for name, other in labels.items():
        differing = int((first != other).any(axis=1).sum())
        if differing:
            raise OutcomeError(
                f"runs must be evaluated on the same outcome to be compared; the labels of {differing} of {len(first)} "
                f"shared subjects differ between {first_name} and {name}. Compare runs of one outcome, outcome.seed, "
                "clock and data settings"
            )


def _hazards(table: pd.DataFrame, shared: list[str]) -> np.ndarray:
    """[subject, step], NaN where a subject has no row."""
    kept = table[table["subject_id"].isin(shared)]
    row = np.searchsorted(np.array(shared), kept["subject_id"].to_numpy().astype(str))
    hazard = np.full((len(shared), int(kept["step"].max()) + 1), np.nan)
    hazard[row, kept["step"].to_numpy()] = kept["hazard"].to_numpy()
    return hazard
