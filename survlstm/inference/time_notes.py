"""Sentences about the prediction times of the days clock: stale records, and times that the training did not have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from survlstm.config.schema.run import RunConfig
from survlstm.inference.prediction_time import AskedTimes

# For each kind of asked times, the kinds of ``clock.times`` that cover it. ``visit``, ``day`` and ``as_of`` give a
# subject one time, and ``every_visit`` and ``last`` give times at visits only.
COVERED_BY = {
    "last": {"last", "every_visit", "every_days", "file"},
    "every_visit": {"every_visit", "every_days", "file"},
    "at": {"every_days", "file", "as_of"},
    "table": {"every_days", "file", "as_of"},
}


@dataclass(frozen=True)
class TimeCounts:
    """Counts of the rows of the days clock; a row is a subject at a prediction time.

    Attributes:
        rows: number of scored rows.
        stale: those of them whose newest entry is older than the bundle's ``stale_days``.
        after_visits: those of them after the day of their last visit.
        unobserved: those of them after the last day of observation of their subject.
    """

    rows: int = 0
    stale: int = 0
    after_visits: int = 0
    unobserved: int = 0

    def plus(self, other: TimeCounts) -> TimeCounts:
        """Add the counts of other rows.

        Args:
            other: counts of rows that are not among these.
        """
        return TimeCounts(
            self.rows + other.rows,
            self.stale + other.stale,
            self.after_visits + other.after_visits,
            self.unobserved + other.unobserved,
        )

    def notes(self, config: RunConfig, asked: AskedTimes, *, stale_days: float | None) -> tuple[str, ...]:
        """Return the sentences.

        Args:
            config: config of the run that trained the model.
            asked: the prediction times that were asked for.
            stale_days: see ``ReferencePredictions``; None if the bundle states none.

        Returns:
            The sentences; none if the records are fresh and the training had such times.
        """
        return tuple(self._notes(config, asked, stale_days))

    def _notes(self, config: RunConfig, asked: AskedTimes, stale_days: float | None) -> Iterator[str]:
        if self.stale:
            yield (
                f"stale records: at {self.stale:,} of {self.rows:,} prediction times the newest entry is more than "
                f"{stale_days:g} days old, which is rarer than 1 in 20 in the training (is_stale). What happened since "
                "may not be in the records; read these risks with care"
            )
        if self.unobserved:
            yield (
                f"{self.unobserved:,} of {self.rows:,} prediction times lie after the last day of observation of their "
                "subject: whether the event or a death happened since is not known"
            )
        assert config.clock.kind == "days", "called on the days clock"
        trained = {spec.kind for spec in config.clock.specs}
        # Times of a table that are all at visits are as covered as every visit.
        kind = asked.kind if self.after_visits else "every_visit" if asked.kind in {"at", "table"} else asked.kind
        if self.rows and not trained & COVERED_BY[kind]:
            at_visits = trained <= {"visit", "every_visit", "last"} and self.after_visits
            why = ": it knows no time between two visits, and has not learned what the days since one mean"
            yield (
                f"the model was trained at other prediction times (clock.times=[{','.join(_texts(config))}]) than "
                f"those of these predictions, {asked.words}{why if at_visits else ''}. Read the risks with care, or "
                "train it at such times"
            )


def _texts(config: RunConfig) -> list[str]:
    """Return the rules of the training as in its config."""
    assert config.clock.kind == "days", "called on the days clock"
    return [spec.text for spec in config.clock.specs]
