"""Comparison of several runs on the subjects that they share, by the paired bootstrap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from survlstm.evaluation.bootstrap import Bootstrap
from survlstm.evaluation.comparators import Comparator
from survlstm.evaluation.evaluated_rows import MOST_EVALUATED
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
    """Compare runs on the subjects that all of them hold, on the days clock at the prediction times of all of them.

    Args:
        predictions: Tables of predictions.parquet, by the name of the run.
        bootstrap: Settings of the intervals.

    Returns:
        The comparison; a note says where the subjects of the runs differ.

    Raises:
        OutcomeError: If the runs differ in clock, intervals, split or labels.
        CohortError: If the runs share no subject.
    """
    clocks = {name: table.attrs["clock"] for name, table in predictions.items()}
    if len(set(clocks.values())) > 1:
        raise OutcomeError(f"runs must have the same clock to be compared; found {clocks}")
    splits = {name: str(table["split"].iloc[0]) for name, table in predictions.items()}
    if len(set(splits.values())) > 1:
        raise OutcomeError(f"predictions must be of the same split to be compared; found {splits}")
    by_times = "days" in clocks.values()
    if by_times:
        _refuse_other_edges(predictions)
        predictions = {name: _at_times(table) for name, table in predictions.items()}
    labels = {name: _labels(table) for name, table in predictions.items()}
    shared = sorted(set.intersection(*(set(label.index) for label in labels.values())))
    sizes = {name: _subjects(list(label.index)) for name, label in labels.items()}
    if not shared:
        raise CohortError(
            f"the runs must share subjects; {sizes} have none in common. Compare runs of one cohort and split.seed"
        )
    _refuse_other_labels({name: label.loc[shared] for name, label in labels.items()})
    sampled = _sampled(shared)
    first, split = next(iter(labels.values())).loc[sampled], next(iter(splits.values()))
    step, event = first["last_step"].to_numpy(np.int64), first["event"].to_numpy(bool)
    group = np.unique([key[0] for key in sampled], return_inverse=True)[1] if by_times else None
    comparators = [
        Comparator(name, "model", _hazards(table, sampled), clocks[name] != "visit")
        for name, table in predictions.items()
    ]
    # The best run comes first, because every difference is taken from the first row.
    comparators.sort(key=lambda one: -_c_td_or_last(one, step, event, group))
    exposure = first["exposure"].to_numpy() if by_times else None
    rows, notes = evaluate_steps(
        comparators, step=step, event=event, bootstrap=bootstrap, group=group, exposure=exposure
    )
    subjects = _subjects(shared)
    if by_times:
        notes[:0] = _notes_on_times({name: len(label) for name, label in labels.items()}, len(shared), len(sampled))
    if len(set(sizes.values())) > 1 or subjects < max(sizes.values()):
        counts = ", ".join(f"{name} {size}" for name, size in sizes.items())
        notes.insert(
            0, f"the {split} sets differ ({counts} subjects): compared on the {subjects} that all of them hold"
        )
    events = int(event.sum()) if group is None else len(np.unique(group[event]))
    return Comparison(split, rows, subjects, events, sizes, tuple(notes))


def _c_td_or_last(comparator: Comparator, step: np.ndarray, event: np.ndarray, group: np.ndarray | None) -> float:
    c_td = concordance_td(comparator.survival, step=step, event=event, group=group).c_td
    return -1.0 if np.isnan(c_td) else c_td


def _labels(table: pd.DataFrame) -> pd.DataFrame:
    if table.attrs["clock"] == "days":
        return table[["last_step", "event", "exposure"]]
    return table.groupby("subject_id", sort=True)[["last_step", "event"]].first()


def _at_times(table: pd.DataFrame) -> pd.DataFrame:
    """Keep the prediction times to train on, by subject and time."""
    return table[table["kind"] == "trained"].set_index(["subject_id", "prediction_time"])


def _subjects(keys: Sequence[Any]) -> int:
    """Count the subjects among ids, or among pairs of an id and a prediction time."""
    return len({key[0] if isinstance(key, tuple) else key for key in keys})


def _sampled(shared: list[Any]) -> list[Any]:
    """Return as many prediction times as a table of an evaluation has; all subjects on the other clocks."""
    if not isinstance(shared[0], tuple) or len(shared) <= MOST_EVALUATED:
        return shared
    chosen = np.random.default_rng(0).choice(len(shared), MOST_EVALUATED, replace=False)
    return [shared[number] for number in np.sort(chosen)]


def _notes_on_times(of_runs: dict[str, int], shared: int, sampled: int) -> list[str]:
    notes = []
    if max(of_runs.values()) > shared:
        counts = ", ".join(f"{name} {number:,}" for name, number in of_runs.items())
        notes.append(
            f"the prediction times differ ({counts}): compared at the {shared:,} that all runs have of a subject"
        )
    if sampled < shared:
        notes.append(f"{sampled:,} of {shared:,} shared prediction times are compared, a random sample")
    return notes


def _refuse_other_edges(predictions: dict[str, pd.DataFrame]) -> None:
    ends = {name: [f"{edge:g}" for edge in table.attrs["edge_days"][1:]] for name, table in predictions.items()}
    if len({tuple(table.attrs["edge_days"]) for table in predictions.values()}) > 1:
        listed = "; ".join(f"{name}: {', '.join(days)}" for name, days in ends.items())
        raise OutcomeError(
            f"runs must have the same intervals to be compared; found intervals that end on day {listed}. Set "
            "clock.edges_days to the same days in all of them"
        )


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


def _hazards(table: pd.DataFrame, shared: list[Any]) -> np.ndarray:
    """[row, step], NaN where a subject has no hazard."""
    if table.attrs["clock"] == "days":
        return np.stack(table["hazard"].loc[shared].to_list())
    kept = table[table["subject_id"].isin(shared)]
    row = np.searchsorted(np.array(shared), kept["subject_id"].to_numpy().astype(str))
    hazard = np.full((len(shared), int(kept["step"].max()) + 1), np.nan)
    hazard[row, kept["step"].to_numpy()] = kept["hazard"].to_numpy()
    return hazard
