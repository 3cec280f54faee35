"""Make events, and a source that returns them, from records that are written out in a test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from survlstm.data.code_groups import CodeGroup
from survlstm.data.cohort_rules import CohortSettings
from survlstm.data.demographics import DemographicSettings
from survlstm.data.events import Events, SourceData, StaticCodes, Subjects, TableCount
from survlstm.data.landmark import LandmarkSettings
from survlstm.data.preparation_settings import PreparationSettings
from survlstm.data.values.settings import ValueSettings

PREFIXES = {"sex": ("SEX/", "GENDER//"), "race": ("RACE/", "RACE//"), "ethnicity": ("ETHNICITY/",)}
SETTINGS = PreparationSettings(
    grouping="hybrid",
    window_hours=24.0,
    min_visits=3,
    max_codes_per_visit=None,
    train=0.7,
    val=0.15,
    split_seed=0,
    fold=None,
    min_frequency=2,
    landmark=None,
    split_by_dataset=False,
    cohort=CohortSettings(),
    demographics=DemographicSettings(PREFIXES, ()),
    values=ValueSettings(),
)
LANDMARK_SETTINGS = replace(
    SETTINGS, landmark=LandmarkSettings(day=None, visit=4, intervals=5, edges="quantile", horizon_days=365.0)
)

# Groups for canaries: of codes that occur, of the code of most outcomes, and of codes that only a change brings in.
GROUPS = (
    CodeGroup("common", ("X/1", "X/3")),
    CodeGroup("outcome", ("X/7",)),
    CodeGroup("strange", ("X/late", "X/other", "X/5", "A/never seen")),
)

# A code, or a code with a number (NaN for none) and its unit.
Entry = str | tuple[str, float, str]
# For each subject id the list of its entries: time, encounter or None, and codes.
Records = dict[str, list[tuple[str, str | None, list[Entry]]]]


def events_of(records: Records, *, deaths: dict[str, str] | None = None, birth: str = "1960-01-01") -> Events:
    """Return the events of records, in the order of the records.

    Args:
        records: The records; a code may be any string.
        deaths: Date of death by subject id; None if nobody died.
        birth: Date of birth of every subject.
    """
    names = sorted(records)
    rows = [
        (name, time, encounter, *((entry, np.nan, "") if isinstance(entry, str) else entry))
        for name in records
        for time, encounter, codes in records[name]
        for entry in codes
    ]
    codes, units = sorted({row[3] for row in rows}), sorted({"", *(row[5] for row in rows)})
    encounters = sorted({f"{row[0]}/{row[2]}" for row in rows if row[2] is not None})
    number_of = {
        kind: {text: n for n, text in enumerate(texts)}
        for kind, texts in (("s", names), ("c", codes), ("e", encounters), ("u", units))
    }
    deaths = deaths or {}
    return Events(
        subjects=Subjects(
            np.array(names, dtype=object),
            np.full(len(names), np.datetime64(birth), dtype="datetime64[s]"),
            np.array([deaths.get(name, "NaT") for name in names], dtype="datetime64[s]"),
        ),
        codes=np.array(codes, dtype=object),
        subject=np.array([number_of["s"][row[0]] for row in rows], dtype=np.int32),
        code=np.array([number_of["c"][row[3]] for row in rows], dtype=np.int32),
        time=np.array([row[1] for row in rows], dtype="datetime64[s]"),
        encounter=np.array(
            [-1 if row[2] is None else number_of["e"][f"{row[0]}/{row[2]}"] for row in rows], dtype=np.int32
        ),
        numeric_value=np.array([row[4] for row in rows], dtype=np.float32),
        units=np.array(units),
        unit=np.array([number_of["u"][row[5]] for row in rows], dtype=np.int32),
    )


def with_static(events: Events, static: dict[str, list[str]]) -> Events:
    """Return the events with static codes, given by subject id."""
    rows = [(number, code) for number, name in enumerate(events.subjects.subject_id) for code in static.get(name, [])]
    codes = StaticCodes.from_rows(
        np.array([subject for subject, _ in rows], dtype=np.int64),
        np.array([code for _, code in rows], dtype=object),
        subjects=len(events.subjects),
    )
    return replace(events, subjects=replace(events.subjects, static=codes))


@dataclass(frozen=True)
class RecordsSource:
    """A source that returns events which a test has made."""

    events: Events

    def files(self) -> list[Path]:
        """Return no files, because the source reads none."""
        return []

    def read(self) -> SourceData:
        """Return the events, and the count of one table."""
        return SourceData(self.events, (TableCount("records", len(self.events), len(self.events), {}, {}),), ())


def random_records(subjects: int, *, seed: int, mean_visits: int = 12) -> Records:
    """Draw subjects with visits of random codes at random distances in time, enough to train a model.

    Args:
        subjects: Number of subjects.
        seed: Seed of numpy's generator.
        mean_visits: Mean number of visits of a subject beyond the first three.
    """
    generator = np.random.default_rng(seed)
    records: Records = {}
    for number in range(subjects):
        pace = generator.gamma(2.0, 0.5)
        time = np.datetime64("2010-01-01T08:00:00") + np.timedelta64(int(generator.integers(0, 900)), "D")
        visits = []
        for visit in range(3 + generator.poisson(mean_visits)):
            codes = [f"X/{code}" for code in generator.integers(0, 40, size=1 + generator.poisson(4 * pace))]
            visits.append((str(time), f"e{visit}", codes))
            time = time + np.timedelta64(1 + int(generator.exponential(60 / pace)), "D")
        records[f"s{number:04d}"] = visits
    return records


def with_random_values(records: Records, *, seed: int, codes: Sequence[str]) -> Records:
    """Return the records with a number at most entries of some codes, in one of two units.

    Args:
        records: Records without values.
        seed: Seed of numpy's generator.
        codes: Codes whose entries get numbers; an entry in ten gets none.
    """
    generator = np.random.default_rng(seed)

    def valued(code: str) -> Entry:
        if code not in codes:
            return code
        share, number = generator.random(), float(np.float32(generator.normal()))
        return code if share < 0.1 else (code, number, "mg" if share < 0.8 else "mmol")

    return {
        name: [(time, encounter, [valued(code) for code in entries]) for time, encounter, entries in visits]
        for name, visits in records.items()
    }
