"""Prediction times of a table, divided among the parts of an export, and the notes on them for all parts together."""

from __future__ import annotations

import numpy as np
import pandas as pd

from survlstm.data.cohort_file import TimesFile
from survlstm.inference.bundle.bundle import Bundle
from survlstm.inference.prediction_time import AskedTimes, AsOf
from survlstm.inference.row_records import UNKNOWN, notes_on_repeated, notes_on_unknown
from survlstm.inference.score_subjects import ROWS_NOT_SCORED, SubjectPredictions
from survlstm.inference.time_notes import TimeCounts


class AskedParts:
    """The prediction times of an export that is read part by part.

    Args:
        table: the rows of a table of prediction times; None if there is none.
    """

    def __init__(self, table: TimesFile | None) -> None:
        self._table = table
        self._is_found = np.zeros(0 if table is None else len(table.time), dtype=bool)
        self._counts = TimeCounts()

    def part(self, subject_id: np.ndarray, as_of: AsOf) -> AsOf:
        """Return ``as_of`` for a part.

        Args:
            subject_id: ids of the subjects of the part.
            as_of: ``as_of`` for the whole export.

        Returns:
            The rows of the table for these subjects, without the notes on the table; ``as_of`` if there is no table.
        """
        if self._table is None:
            return as_of
        self._is_found |= np.isin(self._table.subject_id, subject_id.astype(np.str_))
        return self._table.of_subjects(subject_id)._replace(repeated=0, warnings=())

    def add(self, predictions: SubjectPredictions) -> None:
        """Add the counts of the predictions of a part."""
        if predictions.times is not None:
            self._counts = self._counts.plus(predictions.times)

    @property
    def unknown(self) -> SubjectPredictions | None:
        """The rows of the table whose subjects were in no part, as rows that are not scored; None if there is none."""
        if self._table is None or self._is_found.all():
            return None
        of_nobody = pd.DataFrame(
            {
                "subject_id": self._table.subject_id[~self._is_found].astype(object),
                "prediction_time": self._table.time[~self._is_found],
                "reason": UNKNOWN,
            },
            columns=list(ROWS_NOT_SCORED),
        )
        return SubjectPredictions(pd.DataFrame(), of_nobody, (), np.empty(0, dtype="datetime64[s]"))

    def notes(self, bundle: Bundle, asked: AskedTimes) -> tuple[str, ...]:
        """Return the sentences on the table and on all predictions.

        Args:
            bundle: the bundle of the model.
            asked: the prediction times of the whole export.
        """
        of_table = notes_on_repeated(asked) + notes_on_unknown(int((~self._is_found).sum()))
        return of_table + self._counts.notes(bundle.config, asked, stale_days=bundle.reference.stale_days)
