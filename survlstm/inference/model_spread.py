"""Predictions, part after part → the curves of a few subjects and of risk groups, in memory that does not grow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from survlstm.data.split import subject_key
from survlstm.report.figures.survival import GroupCurve, SubjectCurve

GROUPS = ("low risk", "medium risk", "high risk")
# Thirds of the training distribution, as percentiles.
CUTS = (100 / 3, 200 / 3)
# Bands and the median are those of so many subjects of a group, chosen by a hash of their ids; means are those of all.
SAMPLE = 2000
# The middle 80 % of a group.
BAND = (0.1, 0.9)


class RiskSpread:
    """How the subjects of a cohort spread over risk groups; ``curves`` are those of the table's rows, S at the grid."""

    def __init__(self, times: int) -> None:
        self._groups = [_Group(name, times) for name in GROUPS]

    def add(self, table: pd.DataFrame) -> None:
        """Count a part of the predictions, one row a subject."""
        number = np.searchsorted(CUTS, table["percentile"].to_numpy(), side="right")
        for place, group in enumerate(self._groups):
            group.add(table[number == place])

    @property
    def is_sampled(self) -> bool:
        """Whether a group has more subjects than are kept of it."""
        return any(group.subjects > SAMPLE for group in self._groups)

    def groups(self) -> tuple[GroupCurve, ...]:
        """From low to high risk; the curves of a group without a subject are NaN."""
        return tuple(group.curve() for group in self._groups)

    def median(self) -> pd.Series:
        """The row of the subject whose risk is the median; of a large cohort, of one close to it."""
        rank = (sum(group.subjects for group in self._groups) - 1) // 2
        for group in self._groups:
            if 0 <= rank < group.subjects:
                return group.at(rank)
            rank -= group.subjects
        raise ValueError("a median needs a subject")


class _Group:
    def __init__(self, name: str, times: int) -> None:
        self.name = name
        self.subjects = 0
        self._sum = np.zeros(times)
        self._sample = pd.DataFrame()

    def add(self, table: pd.DataFrame) -> None:
        if not len(table):
            return
        self.subjects += len(table)
        self._sum += np.sum(table["curve"].to_list(), axis=0)
        # By a hash: whom the sample holds does not hang on order or on parts.
        key = [subject_key(name, seed=0, purpose="sample") / 2**128 for name in table["subject_id"]]
        both = pd.concat([self._sample, table.assign(key=key)], ignore_index=True)
        self._sample = both.nsmallest(SAMPLE, "key")

    def curve(self) -> GroupCurve:
        if not self.subjects:
            nothing = np.full(len(self._sum), np.nan)
            return GroupCurve(self.name, 0, nothing, nothing, nothing)
        low, high = np.quantile(np.stack(self._sample["curve"].to_list()), BAND, axis=0)
        return GroupCurve(self.name, self.subjects, self._sum / self.subjects, low, high)

    def at(self, rank: int) -> pd.Series:
        """The kept subject nearest to a rank of risk, 0 the lowest of all in the group."""
        ordered = self._sample.sort_values(["risk", "subject_id"], ignore_index=True)
        return ordered.iloc[int((rank + 0.5) / self.subjects * len(ordered))]


class ExtremeSubjects:
    """The rows of the lowest and the highest risk."""

    def __init__(self) -> None:
        self.lowest: pd.Series | None = None
        self.highest: pd.Series | None = None

    def add(self, table: pd.DataFrame) -> None:
        """Look at a part of the predictions; of equal risks the first stays."""
        if not len(table):
            return
        risk = table["risk"].to_numpy()
        low, high = table.iloc[int(risk.argmin())], table.iloc[int(risk.argmax())]
        if self.lowest is None or low["risk"] < self.lowest["risk"]:
            self.lowest = low
        if self.highest is None or high["risk"] > self.highest["risk"]:
            self.highest = high


def subject_curve(row: pd.Series, *, name: str, horizons: Sequence[float], chosen_as: str) -> SubjectCurve:
    """A row of predictions as figures and tables take it, under a name that is no id."""
    return SubjectCurve(
        name=name,
        chosen_as=chosen_as,
        risk=float(row["risk"]),
        percentile=float(row["percentile"]),
        visits=int(row["visits"]),
        entries=int(row["entries"]),
        entries_unknown=int(row["entries_unknown"]),
        at_horizons=tuple(float(row[f"survival_{horizon:g}"]) for horizon in horizons),
        survival=np.asarray(row["curve"], dtype=np.float64),
    )
