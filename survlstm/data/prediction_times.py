"""Prediction times of the days clock: any number per subject, from rules or from a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int8, Int64

from survlstm.data.cohort_file import TimesFile
from survlstm.data.known_times import DAY_SECONDS
from survlstm.data.outcomes.labels import follow_up_end
from survlstm.data.visit_splits import SplitTimes
from survlstm.data.visits import Visits
from survlstm.utils.ragged import flat_positions, repeats_previous
from survlstm.utils.time_rules import TimeSpec

TRAINED = 0


@dataclass(frozen=True)
class DaysClock:
    """Settings of the days clock.

    Attributes:
        times: Rules of the prediction times that a model is trained on.
        evaluated: Rules of further prediction times that are only evaluated.
        intervals: Number of steps after a prediction time.
        edges: Placement of the edges between the steps, see ``survlstm.data.landmark.fit_edges``.
        horizon_days: End of the last step, in days after the prediction time.
        edges_days: End of each step; None places them by the three settings above.
        timezone: Zone to which the times of files are converted; None leaves them as they are.
    """

    times: tuple[TimeSpec, ...]
    evaluated: tuple[TimeSpec, ...]
    intervals: int
    edges: str
    horizon_days: float
    edges_days: tuple[float, ...] | None
    timezone: str | None

    @property
    def specs(self) -> tuple[TimeSpec, ...]:
        """All rules, those to train on first."""
        return (*self.times, *self.evaluated)

    @property
    def files(self) -> tuple[str, ...]:
        """Paths of the files among the rules."""
        return tuple(spec.place for spec in self.specs if spec.kind == "file")

    @property
    def in_turns(self) -> bool:
        """Whether visits that overlap in time are split where they take turns, see ``split_in_turns``.

        They are if a subject has prediction times at several visits. The record of a later one is split at the earlier
        ones, which must not tell whether an encounter went on. One rule for one time is the landmark of that rule.
        """
        return len(self.times) > 1 or self.times[0].kind == "every_visit"

    @property
    def as_override(self) -> str:
        """The rules to train on as an override of the config, for messages."""
        return f"clock.times=[{','.join(spec.text for spec in self.times)}]"


class PredictionTimes(NamedTuple):
    """Prediction times of subjects, in the order of the subjects, then of the kinds, then of the times.

    Attributes:
        subject: Index of the subject of each row.
        time: ``datetime64[s]`` [row].
        kind: 0 for a time to train on, n for the n-th rule of ``DaysClock.evaluated``.
        left_out: Number of rows that are left out so far, by reason.
        of_rule: For each rule to train on, the rows that it gives; a row can be given by several.
    """

    subject: Int64[np.ndarray, " row"]
    time: np.ndarray
    kind: Int8[np.ndarray, " row"]
    left_out: dict[str, int]
    of_rule: tuple[Int64[np.ndarray, " some_rows"], ...] = ()

    def split_times(self, keeps_training: Bool[np.ndarray, " subject"] | None = None) -> SplitTimes:
        """Return the times at which visits are split.

        Args:
            keeps_training: Subjects whose visits are not split at times that are only evaluated, because training reads
                their records; None for no subject.
        """
        if keeps_training is None:
            return SplitTimes(self.subject, self.time)
        splits = (self.kind == TRAINED) | ~keeps_training[self.subject]
        return SplitTimes(self.subject[splits], self.time[splits])


def prediction_times(visits: Visits, clock: DaysClock, files: Sequence[TimesFile]) -> PredictionTimes:
    """Compute the prediction times of all subjects; whether a subject is at risk then is decided later.

    Args:
        visits: Visits of all subjects of the source, not yet split.
        clock: The rules.
        files: Content of each file of ``clock.files``.

    Returns:
        The rows. Of equal times of a subject and kind one remains; the others are counted.
    """
    remaining = iter(files)
    rows: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    left_out = {"of subjects that are not in the source": 0, "repeated": 0}
    for index, spec in enumerate(clock.specs):
        number = max(TRAINED, index - len(clock.times) + 1)
        if spec.kind == "file":
            file = next(remaining)
            owner, when, unknown = file.find_rows(visits.subjects.subject_id)
            left_out["of subjects that are not in the source"] += unknown
        else:
            owner, when = _by_rule(visits, spec)
        rows.append((owner, when, np.full(len(owner), number, dtype=np.int8)))
    subject, time, kind = (np.concatenate([row[column] for row in rows]) for column in range(3))
    order = np.lexsort([time, kind, subject])
    subject, time, kind = subject[order], time[order], kind[order]
    is_repeated = repeats_previous(subject, kind, time)
    left_out["repeated"] = int(is_repeated.sum()) + sum(file.repeated for file in files)
    kept = ~is_repeated
    # The row that each time became, in the order of the rules.
    row = np.empty(len(order), dtype=np.int64)
    row[order] = np.cumsum(kept) - 1
    ends = np.cumsum([len(made[0]) for made in rows])[: len(clock.times)]
    of_rule = tuple(np.split(row[: ends[-1]], ends[:-1]))
    return PredictionTimes(subject[kept], time[kept], kind[kept], left_out, of_rule)


def _by_rule(visits: Visits, spec: TimeSpec) -> tuple[np.ndarray, np.ndarray]:
    """Return subject and time of each row of a rule; a subject without a visit has none."""
    number = visits.visits_per_subject
    first, last = visits.visit_offsets[:-1], visits.visit_offsets[1:] - 1
    if spec.kind == "every_visit":
        return visits.visit_subject, visits.visit_time
    some = np.flatnonzero(number > (spec.number if spec.kind == "visit" else 0))
    if spec.kind == "visit":
        return some, visits.visit_time[first[some] + int(spec.number)]
    if spec.kind == "last":
        return some, visits.visit_time[last[some]]
    if spec.kind == "as_of":
        end_of_day = np.datetime64(spec.place, "s") + np.timedelta64(DAY_SECONDS - 1, "s")
        return some, np.full(len(some), end_of_day)
    origin = visits.visit_time[first[some]]
    seconds = round(spec.number * DAY_SECONDS)
    if spec.kind == "day":
        return some, origin + np.timedelta64(seconds, "s")
    # A subject can die after the end of what is known of its visits, and is at risk until then.
    death = visits.subjects.death + np.timedelta64(DAY_SECONDS - 1, "s")
    span = (np.fmax(follow_up_end(visits), death)[some] - origin).astype(np.int64)
    count = np.maximum(span // seconds, 0)
    step = flat_positions(np.ones_like(count), count)
    return np.repeat(some, count), np.repeat(origin, count) + (step * seconds).astype("timedelta64[s]")
