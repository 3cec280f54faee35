"""Predict from tables of events or of visits with the model of a bundle."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float64

from survlstm.data.events import Events
from survlstm.inference.bundle.bundle import read_bundle
from survlstm.inference.bundle_rules import BundleRules
from survlstm.inference.events_as_trained import read_events_as_trained
from survlstm.inference.explained_record import code_effects, explained_row
from survlstm.inference.prediction_time import AsOf
from survlstm.inference.record_curves import RecordCurves
from survlstm.inference.row_records import notes_on_table, rows_of_events, rows_of_visits
from survlstm.inference.score_rows import score_rows
from survlstm.inference.score_subjects import (
    CPU,
    SubjectPredictions,
    check_finite,
    make_batches,
    make_tensors,
    reason_without_dates,
    reasons_not_scored,
    score_subjects,
)
from survlstm.inference.static_notes import notes_on_unread
from survlstm.inference.subject_record import ScoredRecords, records_of_events, records_of_visits
from survlstm.inference.value_notes import ReadValues
from survlstm.inference.visits_table import read_visits_table
from survlstm.report.task import outcome_banner
from survlstm.training.prediction import predict_split
from survlstm.utils.errors import ConfigError, SourceError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Predictor(BundleRules):
    """A trained model that predicts from records whose outcome is not known yet.

    Use ``survlstm.load_bundle`` to make one. No method reads or returns an outcome. A predicted curve starts at the
    last known visit, on the landmark clock at the landmark, and on the days clock at the prediction time. Higher risk
    means an earlier event. A subject outside of the cohort that the model was trained on (``cohort.include``,
    ``cohort.exclude``) is not scored. If the landmarks of the training were given by a file, ``as_of`` is the landmark
    of every subject and must be set.

    The methods have these arguments in common:

    - ``as_of`` is the prediction time: a day, which includes its end, or a time. A time is in UTC unless it states an
      offset; a bundle trained with ``data.source.timezone`` converts it to that zone. Entries that were not known by
      then are ignored. With None every entry is used, whatever its date, because the dates of de-identified records may
      lie in another century. On the days clock the prediction is made at exactly that time; None and ``"last"`` stand
      for the last visit of each subject, and a pandas table, or the path of a .csv or .parquet file, with the columns
      subject_id and prediction_time gives any number of times per subject. On the visit clock ``"last"`` is None; on
      the landmark clock it is refused, and a table is refused on both.
    - ``horizons`` are the times at which survival is reported, in ``unit``, at most the end of ``grid``. On the visit
      clock they must be whole numbers. None uses those of the bundle.

    Attributes:
        bundle: the model with its vocabulary, preprocessing, reference risks and evaluation.

    Example:
        >>> predictor = survlstm.load_bundle("model_bundle")
        >>> found = predictor.predict(pd.read_csv("events.csv"), as_of="2020-12-31")
        >>> found.table[["subject_id", "risk", "percentile"]]
    """

    def __repr__(self) -> str:
        about = self.bundle.about
        return f"<Predictor {about.name!r}: {about.outcome}; curves over {self.grid[-1]:g} {self.unit}>"

    def _repr_html_(self) -> str:
        about = self.bundle.about
        rows = {
            "outcome": about.outcome,
            "clock": about.clock,
            "curves": f"{len(self.grid)} times, the last at {self.grid[-1]:g} {self.unit}",
            "vocabulary": f"{len(self.bundle.preprocessing.vocabulary):,} codes",
            "parameters": f"{about.parameters:,}",
            "exported": f"{about.created}, epoch {about.epoch}, survlstm {about.survlstm}",
        }
        cells = "".join(f"<tr><th>{name}</th><td>{escape(text)}</td></tr>" for name, text in rows.items())
        return f"<p><b>{escape(about.name)}</b> {escape(self.banner)}</p><table>{cells}</table>"

    @property
    def banner(self) -> str:
        """Warning to show with predictions of an outcome drawn by a formula; empty for an outcome from records."""
        return outcome_banner(self.bundle.config.outcome)

    @property
    def unit(self) -> Literal["visits", "days"]:
        """Unit of ``grid`` and ``horizons``: visits after the last one, or days after the landmark or the ``as_of``."""
        return self.bundle.about.unit

    @property
    def grid(self) -> Float64[np.ndarray, " horizon"]:
        """Times of a predicted curve in ``unit``, ascending and above 0; time 0, where survival is 1, is left out."""
        return np.array(self.bundle.reference.grid)

    @property
    def horizons(self) -> tuple[float, ...]:
        """Times in ``unit`` at which survival is reported if no horizons are given."""
        return tuple(self.bundle.reference.horizons)

    def predict(
        self,
        events: pd.DataFrame,
        *,
        per_visit: bool = False,
        horizons: Sequence[float] | None = None,
        as_of: AsOf = None,
    ) -> SubjectPredictions:
        """Predict the risk and the survival curve of each subject of a table of events.

        The table of the result has one row per subject, or per visit, or on the days clock per prediction time, with
        these columns:

        - subject_id; visit (with ``per_visit``): number of the last visit used, from 0;
        - landmark (landmark clock): time of the landmark;
        - prediction_time (days clock): time from which the days are counted;
        - history_age_days (days clock): days from history_end to prediction_time; is_stale: whether that is longer than
          the ``stale_days`` of the bundle, which 19 in 20 of the training do not exceed;
        - history_end: time of the last visit used; visits: number of visits used;
        - entries: number of entries used, without static and fused codes; entries_unknown: those of them whose code is
          not in the vocabulary;
        - hazard (visit clock): probability of the event in the step after the last visit;
        - risk: probability of the event by the end of ``grid``;
        - percentile: position of the risk among those of the training subjects, 0 to 100;
        - survival_h: probability of no event by horizon h; curve: the same at every time of ``grid``.

        Args:
            events: one row per entry, with the MEDS columns subject_id, time and code, optionally numeric_value, unit
                and encounter_id. ``survlstm.inference.events_table.read_events_table`` describes them.
            per_visit: if True, return one row per visit, predicted from what was known at that visit, from the first
                visit on that has the ``data.min_visits`` of the training. Not on the landmark clock. Visits before the
                outcome or the death are scored although these happened later.
            horizons: see the class; None for those of the bundle.
            as_of: prediction time, see the class; None to use every entry.

        Returns:
            The predictions, the subjects that are not scored with the reason, and notes about the table.

        Raises:
            SourceError: the table cannot be read.
            ConfigError: ``horizons`` or ``as_of`` is invalid, or ``per_visit`` is set on the landmark clock or with a
                table of times.
            CohortError: the table of times cannot be read.
            BundleError: the model gives values that are not finite.
        """
        table = read_events_as_trained(events, self.bundle.config.data.source)
        notes = (*table.notes, *notes_on_unread(table.events.subjects, self._settings.demographics))
        return self.predict_events(table.events, per_visit=per_visit, horizons=horizons, as_of=as_of, notes=notes)

    def predict_events(
        self,
        events: Events,
        *,
        per_visit: bool = False,
        horizons: Sequence[float] | None = None,
        as_of: AsOf = None,
        notes: Sequence[str] = (),
    ) -> SubjectPredictions:
        """Predict from events that a source has already read, see ``predict``.

        Args:
            events: the entries of all subjects, read as in training.
            per_visit: see ``predict``.
            horizons: see ``predict``.
            as_of: see ``predict``.
            notes: sentences about the events, which the result repeats before its own notes.

        Returns:
            The same as ``predict``.

        Raises:
            ConfigError: ``horizons`` or ``as_of`` is invalid, or ``per_visit`` is set on the landmark clock.
            BundleError: the model gives values that are not finite.
        """
        notes = (*notes, *self.notes_on_static(events.subjects))
        if self.is_on_days:
            asked = self.asked_times(as_of, per_visit=per_visit)
            rows = rows_of_events(events, self._outcome, self._settings, asked, reads_age=self._reads_age)
            notes = (*notes, *notes_on_table(rows, asked), *self._notes_on_dates(rows.ends, as_of))
            return score_rows(rows, self.bundle, asked, horizons=horizons, notes=notes)
        records = self._records(events, as_of)
        notes = (*notes, *self._notes_on_dates(records.ends, as_of))
        return score_subjects(records, self.bundle, per_visit=per_visit, horizons=horizons, notes=notes)

    def predict_visits(
        self,
        visits: pd.DataFrame,
        *,
        per_visit: bool = False,
        horizons: Sequence[float] | None = None,
        as_of: AsOf = None,
    ) -> SubjectPredictions:
        """Predict from a table of visits, for records that were grouped into visits elsewhere.

        Such a table holds no static code. A model that reads some (``data.static``) predicts without them, which a note
        says; give it a table of events.

        Args:
            visits: one row per visit with the columns subject_id, time (of the visit's last entry), codes (a list of
                texts), optionally values and units (lists) and birth, see ``read_visits_table``.
            per_visit: see ``predict``.
            horizons: see ``predict``.
            as_of: see ``predict``.

        Returns:
            The same as ``predict``.

        Raises:
            SourceError: the table cannot be read.
            ConfigError: ``horizons`` or ``as_of`` is invalid, or ``per_visit`` is set on the landmark clock.
            BundleError: the model gives values that are not finite.
        """
        until = self.last_entry(as_of)
        table = read_visits_table(visits, as_of=until, timezone=self._timezone)
        notes = self.notes_on_static(table.subjects)
        if self.is_on_days:
            asked = self.asked_times(as_of, per_visit=per_visit)
            rows = rows_of_visits(table, self._outcome, self._settings, asked, reads_age=self._reads_age)
            notes = (*notes, *notes_on_table(rows, asked), *self._notes_on_dates(rows.ends, as_of))
            return score_rows(rows, self.bundle, asked, horizons=horizons, notes=notes)
        records = records_of_visits(table, self._outcome, self._settings, as_of=until, reads_age=self._reads_age)
        notes = (*notes, *self._notes_on_dates(records.ends, as_of))
        return score_subjects(records, self.bundle, per_visit=per_visit, horizons=horizons, notes=notes)

    def predict_survival(self, events: pd.DataFrame, *, as_of: AsOf = None) -> RecordCurves:
        """Compute survival along each record, each hazard from what was known at its own visit.

        These are the curves of ``docs/training_guide.md``. On the visit clock they describe how the risk accumulated
        over the visits of a record; use ``predict`` for the time after the record. A subject that is not scored has no
        row, unless the only reason is that the outcome or the death happened before the prediction time: such a record
        still has a past. A model of the days clock has no such curve: use ``predict(per_visit=True)``, which gives the
        risk in days from each visit.

        Args:
            events: see ``predict``.
            as_of: see ``predict``.

        Returns:
            Curves of the subjects that have one, in the order of their ids as text.

        Raises:
            SourceError: the table cannot be read.
            ConfigError: ``as_of`` is invalid, or the model is of the days clock.
            BundleError: the model gives values that are not finite.
        """
        if self.is_on_days:
            raise ConfigError(
                "predict_survival needs a bundle of the visit clock or the landmark clock; this one is of the days "
                "clock. Use predict(events, per_visit=True), whose rows are the risks in days from each visit"
            )
        records = self._records(read_events_as_trained(events, self.bundle.config.data.source).events, as_of)
        tensors = make_tensors(records, self.bundle).tensors
        reason = reasons_not_scored(records, tensors, self.bundle, looking_back=True)[np.flatnonzero(records.seen)]
        if not (reason == "").any():
            empty = np.empty((0, 0))
            return RecordCurves((), empty, empty)
        predictions = predict_split(self.bundle.model, make_batches(tensors, self.bundle), CPU)
        kept = np.flatnonzero(reason == "")
        check_finite(predictions.nll[kept])
        names = tuple(str(name) for name in tensors.subject_id[kept])
        return RecordCurves(names, predictions.survival[kept], np.cumsum(predictions.hazard[kept], axis=1))

    def explain(self, events: pd.DataFrame, *, as_of: AsOf = None, most_readings: int | None = None) -> pd.DataFrame:
        """Compute the effect of each code of one subject on the log-odds of the event, by occlusion.

        A code is left out of every visit; the other codes and the visit features, columns of values included, are not
        changed. Fused codes of values are codes of their own; codes outside the vocabulary are left out of the result.
        An effect describes the prediction, not a cause of the event.

        Args:
            events: events of one subject, see ``predict``.
            as_of: see ``predict``.
            most_readings: largest accepted product of the numbers of visits and of distinct codes, on which the time of
                an explanation depends; None for no limit.

        Returns:
            One row per code, the largest absolute effect first: code, description, effect (log-odds with the code minus
            log-odds without it, above 0 if the code raises the risk), entries (number of entries) and last_time (time
            of the last visit with the code). ``attrs["notes"]`` holds notes about dates, static codes and values.

        Raises:
            SourceError: the table cannot be read, or it holds several subjects, a subject that is not scored, or a
                longer record than ``most_readings`` allows.
            ConfigError: ``as_of`` is invalid, or gives several times.
            BundleError: the model gives values that are not finite.
        """
        read = read_events_as_trained(events, self.bundle.config.data.source).events
        if len(read.subjects) != 1:
            raise SourceError(f"the table must hold one subject to be explained; found {len(read.subjects)}")
        if self.is_on_days:
            asked = self.asked_times(as_of, per_visit=False)
            rows = rows_of_events(read, self._outcome, self._settings, asked, reads_age=self._reads_age)
            built, reason, ends = explained_row(rows, self.bundle)
        else:
            records = self._records(read, as_of)
            built, ends = make_tensors(records, self.bundle), records.ends
            (reason,) = reasons_not_scored(records, built.tensors, self.bundle, looking_back=False)
        if reason:
            raise SourceError(
                f"only a subject that is scored can be explained; this one is not: {reason_without_dates(reason)}"
            )
        table = code_effects(built.tensors, self.bundle, most_readings=most_readings)
        notes = (*self.notes_on_static(read.subjects), *self._notes_on_dates(ends, as_of))
        table.attrs["notes"] = (*notes, *ReadValues.of(built.values).notes)
        return table

    def _records(self, events: Events, as_of: AsOf) -> ScoredRecords:
        return records_of_events(
            events,
            self._outcome,
            self._settings,
            as_of=self.last_entry(as_of),
            reads_age=self._reads_age,
        )


def load_bundle(path: str | Path, *, allow: Sequence[str] = ()) -> Predictor:
    """Load a trained model from a bundle. A bundle holds no code.

    Args:
        path: folder or .zip archive that ``survlstm export`` wrote; ``~`` is expanded.
        allow: dotted names of classes outside survlstm that may be imported although only the bundle names them, as in
            ``["mypackage.MyGRU"]``.

    Returns:
        A predictor, which runs on the CPU.

    Raises:
        BundleError: ``path`` holds no bundle, was changed since the export, or was written by a newer survlstm.
        ClosedClassError: the model is of a class that is not part of survlstm and that ``allow`` does not name.

    Example:
        >>> predictor = survlstm.load_bundle("model_bundle")
        >>> predictor.predict(events).table
    """
    return Predictor(read_bundle(Path(path).expanduser(), allow=allow))


def log_bundle(path: str, predictor: Predictor) -> None:
    """Log the bundle, its outcome and, for a drawn outcome, the warning about it.

    Args:
        path: the path of the bundle, as the user gave it.
        predictor: the predictor that was loaded from it.
    """
    about = predictor.bundle.about
    log.info("Bundle: %s (%s)\n%s", path, about.name, about.outcome)
    if predictor.banner:
        log.warning("%s", predictor.banner)
