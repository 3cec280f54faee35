"""Survival curves of risk groups and of selected subjects, accumulated over parts of a cohort in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from survlstm.data.split import subject_key
from survlstm.report.figures.survival import GroupCurve, SubjectCurve

GROUPS = ("low risk", "medium risk", "high risk")
# The groups are thirds of the training subjects: percentiles of the reference risks.
CUTS = (100 / 3, 200 / 3)
# Bands and the median come from at most so many subjects per group, chosen by a hash of their ids; means from all.
SAMPLE = 2000
# Quantiles of the band: the middle 80 % of a group.
BAND = (0.1, 0.9)


class RiskSpread:
    """Survival curves of low, medium and high risk in a cohort that is added part by part.

    Args:
        times: number of times in the grid of the curves.
    """

    def __init__(self, times: int) -> None:
        self._groups = [_Group(name, times) for name in GROUPS]

    def add(self, table: pd.DataFrame) -> None:
        """Add a part of the predictions.

        Args:
            table: one row per subject with the columns subject_id, risk, percentile and curve, see
                ``Predictor.predict``.
        """
        number = np.searchsorted(CUTS, table["percentile"].to_numpy(), side="right")
        for index, group in enumerate(self._groups):
            group.add(table[number == index])

    @property
    def is_sampled(self) -> bool:
        """True if bands and median come from a sample, because a group has more than ``SAMPLE`` subjects."""
        return any(group.subjects > SAMPLE for group in self._groups)

    def groups(self) -> tuple[GroupCurve, ...]:
        """Return mean and band of each group, from low to high risk; NaN for a group without subjects."""
        return tuple(group.curve() for group in self._groups)

    def median(self) -> pd.Series:
        """Return the row of the subject with the median risk, in a large cohort of one close to it.

        Raises:
            ValueError: no subject has been added.
        """
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
        # Chosen by a hash of the id, the sample does not depend on the order of the subjects or on the parts.
        key = [subject_key(name, seed=0, purpose="sample") / 2**128 for name in table["subject_id"]]
        both = pd.concat([self._sample, table.assign(key=key)], ignore_index=True)
        self._sample = both.nsmallest(SAMPLE, "key")

    def curve(self) -> GroupCurve:
        if not self.subjects:
            unknown = np.full(len(self._sum), np.nan)
            return GroupCurve(self.name, 0, unknown, unknown, unknown)
        low, high = np.quantile(np.stack(self._sample["curve"].to_list()), BAND, axis=0)
        return GroupCurve(self.name, self.subjects, self._sum / self.subjects, low, high)

    def at(self, rank: int) -> pd.Series:
        """Return the row of the sampled subject nearest to a rank of risk; rank 0 is the lowest risk of the group."""
        ordered = self._sample.sort_values(["risk", "subject_id"], ignore_index=True)
        return ordered.iloc[int((rank + 0.5) / self.subjects * len(ordered))]


class ExtremeSubjects:
    """The rows with the lowest and the highest risk of a cohort that is added part by part.

    Attributes:
        lowest: row with the lowest risk; None before a subject has been added.
        highest: row with the highest risk; None before a subject has been added.
    """

    def __init__(self) -> None:
        self.lowest: pd.Series | None = None
        self.highest: pd.Series | None = None

    def add(self, table: pd.DataFrame) -> None:
        """Add a part of the predictions; of equal risks the first one is kept.

        Args:
            table: one row per subject, with at least the column risk, see ``Predictor.predict``; it may be empty.
        """
        if not len(table):
            return
        risk = table["risk"].to_numpy()
        low, high = table.iloc[int(risk.argmin())], table.iloc[int(risk.argmax())]
        if self.lowest is None or low["risk"] < self.lowest["risk"]:
            self.lowest = low
        if self.highest is None or high["risk"] > self.highest["risk"]:
            self.highest = high


def subject_curve(row: pd.Series, *, name: str, horizons: Sequence[float], chosen_as: str) -> SubjectCurve:
    """Convert a row of predictions for the figures and tables of a page.

    Args:
        row: a row of ``SubjectPredictions.table``.
        name: name of the subject on the page, which must not be its id.
        horizons: horizons whose columns ``row`` has.
        chosen_as: why the subject was chosen; empty if it was named by the user.

    Returns:
        Risk, percentile, counts, survival at each horizon and the survival curve of the subject, without its id.
    """
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
