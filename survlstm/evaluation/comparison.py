"""Predictions of several runs → who is better on the subjects they share, by the paired bootstrap."""

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
    """Rows from the best c_td down; differences are the first row's figure minus the row's own.

    ``subjects`` and ``events`` are of the shared subjects of ``split``; ``subjects_of`` counts those of each run.
    """

    split: str
    rows: tuple[StepRow, ...]
    subjects: int
    events: int
    subjects_of: dict[str, int]
    notes: tuple[str, ...]


def compare(predictions: dict[str, pd.DataFrame], bootstrap: Bootstrap) -> Comparison:
    """Every run on the subjects that all of them hold; a note says where these differ.

    ``predictions`` are tables of predictions.parquet by the name of the run. OutcomeError where the runs answer
    different questions (another clock or split, other labels), CohortError where they share no subject.
    """
    clocks = {name: table.attrs["clock"] for name, table in predictions.items()}
    if len(set(clocks.values())) > 1:
        raise OutcomeError(f"runs must be of one clock to be compared; found {clocks}")
    splits = {name: str(table["split"].iloc[0]) for name, table in predictions.items()}
    if len(set(splits.values())) > 1:
        raise OutcomeError(f"predictions must be of one split to be compared; found {splits}")
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
    contenders = [
        Comparator(name, "model", _hazards(table, shared), clocks[name] == "landmark")
        for name, table in predictions.items()
    ]
    # The best leads, so that every difference is against it.
    contenders.sort(key=lambda one: -_c_td_or_last(one, step, event))
    rows, notes = evaluate_steps(contenders, step=step, event=event, bootstrap=bootstrap)
    if len(set(sizes.values())) > 1 or len(shared) < max(sizes.values()):
        found = ", ".join(f"{name} {size}" for name, size in sizes.items())
        notes.insert(
            0, f"the {split} sets differ ({found} subjects): compared on the {len(shared)} that all of them hold"
        )
    return Comparison(split, rows, len(shared), int(event.sum()), sizes, tuple(notes))


def _c_td_or_last(contender: Comparator, step: np.ndarray, event: np.ndarray) -> float:
    c_td = concordance_td(contender.survival, step=step, event=event).c_td
    return -1.0 if np.isnan(c_td) else c_td


def _labels(table: pd.DataFrame) -> pd.DataFrame:
    return table.groupby("subject_id", sort=True)[["last_step", "event"]].first()


def _refuse_other_labels(labels: dict[str, pd.DataFrame]) -> None:
    first_name, first = next(iter(labels.items()))
    for name, other in labels.items():
        differing = int((first != other).any(axis=1).sum())
        if differing:
            raise OutcomeError(
                f"runs must be judged on the same outcome to be compared; the labels of {differing} of {len(first)} "
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
