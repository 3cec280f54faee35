"""A bundle → predictions from tables of events or of visits, in three lines of Python."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float64

from survlstm.data.events import Events
from survlstm.data.factory import build_outcome, build_settings
from survlstm.data.outcomes.labels import Outcome
from survlstm.data.prepare import PreparationSettings
from survlstm.data.sources.timestamps import to_local
from survlstm.data.vocabulary import UNK
from survlstm.explanation.occlusion import occlude
from survlstm.inference.bundle.bundle import Bundle, read_bundle
from survlstm.inference.dates import RecordEndDays
from survlstm.inference.events_table import read_events_table
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
from survlstm.inference.subject_record import ScoredRecords, records_of_events, records_of_visits
from survlstm.inference.visits_table import read_visits_table
from survlstm.report.task import outcome_banner
from survlstm.training.prediction import predict_split
from survlstm.utils.errors import ConfigError, SourceError

log = logging.getLogger(__name__)

AsOf = str | datetime.date | datetime.datetime | np.datetime64 | None


class RecordCurves(NamedTuple):
    """Survival and cumulative hazard after each visit of a record, NaN behind its end; a row for each of the subjects.

    On the landmark clock a column is an interval after the landmark instead.
    """

    subject_id: tuple[str, ...]
    survival: Float64[np.ndarray, "subject step"]
    cumulative_hazard: Float64[np.ndarray, "subject step"]


@dataclass(frozen=True)
class Predictor:
    """A bundle's model, and how records are made ready for it.

    Every ``predict`` takes subjects whose future is open, and tells nobody's outcome: a curve starts at
    the last visit
    known (or at the landmark), a risk is the probability of the event by the end of ``grid``, and higher means sooner.
    ``as_of``, a day or a time, hides what was entered later; without it every entry is read, whenever it is dated.
    """

    bundle: Bundle

    @property
    def banner(self) -> str:
        """What must be said beside every prediction of a drawn outcome; empty for one that the records hold."""
        return outcome_banner(self.bundle.config.outcome)

    @property
    def unit(self) -> Literal["visits", "days"]:
        """What ``grid`` and horizons count: visits after the last one, or days after the landmark."""
        return self.bundle.about.unit

    @property
    def grid(self) -> Float64[np.ndarray, " horizon"]:
        """The times of a curve; S(0) = 1 is not among them."""
        return np.array(self.bundle.reference.grid)

    @property
    def horizons(self) -> tuple[float, ...]:
        """Those that are shown where none are asked for."""
        return tuple(self.bundle.reference.horizons)

    def predict(
        self,
        events: pd.DataFrame,
        *,
        per_visit: bool = False,
        horizons: Sequence[float] | None = None,
        as_of: AsOf = None,
    ) -> SubjectPredictions:
        """Score the subjects of a table of events with MEDS columns; see ``read_events_table`` for what it may hold.

        One row a subject: history_end (time of the last visit read), visits, entries and entries_unknown (of them those
        whose code the model does not know), risk, percentile (0 to 100 among the training subjects), survival at each
        horizon, curve (S at ``grid``); on the visit clock the hazard of the step after the last visit, on the landmark
        clock the landmark. With ``per_visit`` a row for every visit, from what was known then. SourceError for a table
        that can't be read; who can't be scored is in ``not_scored``.
        """
        table = read_events_table(events, timezone=self._timezone)
        return self.predict_events(table.events, per_visit=per_visit, horizons=horizons, as_of=as_of, notes=table.notes)

    def predict_events(
        self,
        events: Events,
        *,
        per_visit: bool = False,
        horizons: Sequence[float] | None = None,
        as_of: AsOf = None,
        notes: Sequence[str] = (),
    ) -> SubjectPredictions:
        """As ``predict``, of events that a source has read."""
        records = self._records(events, as_of)
        notes = (*notes, *self._notes_on_dates(records, as_of))
        return score_subjects(records, self.bundle, per_visit=per_visit, horizons=horizons, notes=notes)

    def predict_visits(
        self,
        visits: pd.DataFrame,
        *,
        per_visit: bool = False,
        horizons: Sequence[float] | None = None,
        as_of: AsOf = None,
    ) -> SubjectPredictions:
        """Predict from visits that are grouped already.

        ``visits`` has the columns subject_id, time (of the visit's last entry), codes and optionally birth.
        """
        records = records_of_visits(
            read_visits_table(visits, as_of=self._time_of(as_of), timezone=self._timezone),
            self._outcome,
            self._settings,
            as_of=self._time_of(as_of),
            reads_age=self._reads_age,
        )
        notes = self._notes_on_dates(records, as_of)
        return score_subjects(records, self.bundle, per_visit=per_visit, horizons=horizons, notes=notes)

    def predict_survival(self, events: pd.DataFrame, *, as_of: AsOf = None) -> RecordCurves:
        """The guide's curves: P(no event through step j) along each record, from what was known at each visit.

        They look back: a curve says how a record's risk has added up, ``predict`` what is to come. Who
        can't be scored has no row, unless it is only that the record is over.
        """
        records = self._records(read_events_table(events, timezone=self._timezone).events, as_of)
        tensors = make_tensors(records, self.bundle)
        reason = reasons_not_scored(records, tensors, self.bundle, looking_back=True)[np.flatnonzero(records.seen)]
        if not (reason == "").any():
            nothing = np.empty((0, 0))
            return RecordCurves((), nothing, nothing)
        found = predict_split(self.bundle.model, make_batches(tensors, self.bundle), CPU)
        kept = np.flatnonzero(reason == "")
        check_finite(found.nll[kept])
        names = tuple(str(name) for name in tensors.subject_id[kept])
        return RecordCurves(names, found.survival[kept], np.cumsum(found.hazard[kept], axis=1))

    def explain(self, events: pd.DataFrame, *, as_of: AsOf = None, most_readings: int | None = None) -> pd.DataFrame:
        """What each known code of one subject's record adds to the log-odds of the event, the most influential first.

        Columns code, description, effect (log-odds with the code less those without it; above 0 it raises the risk),
        entries and last_time. A code is left out of every visit, the other codes and the visit features staying as they
        are; ``attrs["notes"]`` has sentences about the dates. SourceError where the table holds several subjects or one
        that can't be scored, and where its visits times its codes, which is what an explanation reads, are more than
        ``most_readings``.
        """
        records = self._records(read_events_table(events, timezone=self._timezone).events, as_of)
        if len(records.seen) != 1:
            raise SourceError(f"one subject at a time is explained; found {len(records.seen)} in the table")
        tensors = make_tensors(records, self.bundle)
        (reason,) = reasons_not_scored(records, tensors, self.bundle, looking_back=False)
        if reason:
            raise SourceError(
                f"only who can be scored is explained; the subject can't be: {reason_without_dates(reason)}"
            )
        readings = len(tensors.visit_time) * len(np.unique(tensors.code))
        if most_readings is not None and readings > most_readings:
            raise SourceError(
                f"a record's visits times its codes must be at most {most_readings:,} to be explained here; found "
                f"{readings:,}. Send its latest years, or use survlstm explain"
            )
        found = occlude(self.bundle.model, make_batches(tensors, self.bundle), 0)
        check_finite(found.effect)
        codes = [self.bundle.fitted.vocabulary.entries[number] for number in found.code]
        table = pd.DataFrame(
            {
                "code": codes,
                "description": [self.bundle.descriptions.get(code, "") for code in codes],
                "effect": found.effect,
                "entries": found.entries,
                "last_time": tensors.visit_time[found.last_visit],
            }
        )
        table = table[table["code"] != UNK].sort_values(
            "effect", key=lambda effect: -effect.abs(), kind="stable", ignore_index=True
        )
        table.attrs["notes"] = self._notes_on_dates(records, as_of)
        return table

    def _records(self, events: Events, as_of: AsOf) -> ScoredRecords:
        return records_of_events(
            events,
            self._outcome,
            self._settings,
            as_of=self._time_of(as_of),
            reads_age=self._reads_age,
        )

    @property
    def _timezone(self) -> str | None:
        return self.bundle.config.data.source.timezone

    def _time_of(self, as_of: AsOf) -> np.datetime64 | None:
        return parse_as_of(as_of, timezone=self._timezone)

    def _notes_on_dates(self, records: ScoredRecords, as_of: AsOf) -> tuple[str, ...]:
        last_days = RecordEndDays()
        last_days.add(records.ends)
        return last_days.notes(as_of=self._time_of(as_of), is_landmark=self.bundle.about.clock == "landmark")

    @cached_property
    def _outcome(self) -> Outcome:
        return build_outcome(self.bundle.config.outcome)

    @cached_property
    def _settings(self) -> PreparationSettings:
        return build_settings(self.bundle.config)

    @property
    def _reads_age(self) -> bool:
        return "age" in self.bundle.config.model.visit_features


def load_bundle(path: str | Path) -> Predictor:
    """Read what survlstm export wrote; BundleError for what is changed, newer, or no bundle. No code of it is run."""
    return Predictor(read_bundle(Path(path).expanduser()))


def log_bundle(path: str, predictor: Predictor) -> None:
    """Which model scores, and for what."""
    about = predictor.bundle.about
    log.info("Bundle: %s (%s)\n%s", path, about.name, about.outcome)
    if predictor.banner:
        log.warning("%s", predictor.banner)


def parse_as_of(as_of: AsOf, *, timezone: str | None = None) -> np.datetime64 | None:
    """The last second of a day, or the time itself; ConfigError for what is neither.

    A time is in UTC unless it states an offset; with ``timezone`` it is converted to that zone.
    """
    if as_of is None:
        return None
    try:
        text = as_of.isoformat() if isinstance(as_of, datetime.date) else str(as_of)
        found = datetime.datetime.fromisoformat(text)
        if found.tzinfo is not None:
            found = found.astimezone(datetime.UTC).replace(tzinfo=None)
    except (ValueError, OverflowError) as error:
        raise ConfigError(
            f"as_of must be a day or a time, as in 2020-01-31 or 2020-01-31T12:00; found {as_of!r}"
        ) from error
    time = np.datetime64(found, "s")
    is_day = len(text) <= len("2020-01-31")
    if is_day:
        return time + np.timedelta64(86399, "s")
    return time if timezone is None else to_local(np.array([time]), timezone, is_timed=np.ones(1, dtype=bool))[0]
