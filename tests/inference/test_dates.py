"""Tests of shifted and wrong dates: predictions do not depend on today's date, and implausible dates are noted."""

import datetime

import numpy as np
import pandas as pd
import pytest

from survlstm.inference.dates import RecordEndDays
from survlstm.inference.prediction_time import parse_as_of
from tests.bundles import cohort_of, meds, predictor_on

ROUNDING = 1e-6
CLOCKS = ("visit", "landmark")
PAST_TODAY = "the data reach past today"
# What MIMIC adds to the years of its subjects, whole weeks of it.
CENTURY = np.timedelta64(7 * 5218, "D")
TODAY = np.datetime64(datetime.datetime.now(datetime.UTC).date(), "D")


def moved(records, days):
    """Shift the dates of each subject by a number of days of its own."""
    return {
        name: [(str(np.datetime64(time, "s") + np.timedelta64(int(by), "D")), *rest) for time, *rest in visits]
        for (name, visits), by in zip(records.items(), days, strict=True)
    }


def born(table, records, days):
    """Shift the days of birth as ``moved`` shifts the records."""
    by = dict(zip(records, days, strict=True))
    is_birth = table["code"] == "MEDS_BIRTH"
    births = [str(np.datetime64("1960-01-01") + np.timedelta64(int(by[name]), "D")) for name in table["subject_id"]]
    return table.assign(time=np.where(is_birth, births, table["time"]))


@pytest.mark.parametrize("clock", CLOCKS)
def test_a_de_identified_record_is_scored_as_it_was_before(clock):
    records, _ = cohort_of(30)
    days = [int(CENTURY / np.timedelta64(1, "D")) + 700 * number for number in range(30)]
    predictor = predictor_on(clock)
    plain, shifted = (
        predictor.predict(table) for table in (meds(records), born(meds(moved(records, days)), records, days))
    )
    assert shifted.table["subject_id"].tolist() == plain.table["subject_id"].tolist() != []
    np.testing.assert_allclose(shifted.table["risk"], plain.table["risk"], atol=ROUNDING)
    assert (shifted.table["history_end"] > pd.Timestamp("2105-01-01")).all()
    # One note only: the records end throughout sixty years, and none counts as late.
    assert [note.split(":")[0] for note in shifted.notes] == [PAST_TODAY]
    assert plain.notes == ()
    alone = predictor.predict(born(meds(moved(records, days)), records, days).query("subject_id == 's0003'"))
    assert alone.table["risk"].tolist() == shifted.table.query("subject_id == 's0003'")["risk"].tolist()


def test_the_years_of_mimic_are_read_up_to_2300():
    records = {"a": [(f"22{year}-03-01T08:00:00", f"e{year}", ["X/1", "X/2"]) for year in range(90, 99)]}
    table = meds(records, births=False)
    table.loc[len(table)] = ["a", "2230-01-01", "MEDS_BIRTH", None, np.nan]
    for times in (table["time"], table["time"].to_numpy().astype("datetime64[s]")):
        assert predictor_on("visit").predict(table.assign(time=times)).table["visits"].tolist() == [9]


def test_as_of_may_lie_in_any_year():
    records, _ = cohort_of(4)
    by = [int(CENTURY / np.timedelta64(1, "D"))] * 4
    table = born(meds(moved(records, by)), records, by)
    day = np.datetime64("2011-12-31") + CENTURY
    early, then = (
        predictor_on("visit").predict(meds(records), as_of="2011-12-31"),
        predictor_on("visit").predict(table, as_of=str(day)),
    )
    np.testing.assert_allclose(then.table["risk"], early.table["risk"], atol=ROUNDING)
    assert early.notes == ()


def test_on_the_landmark_clock_an_as_of_behind_the_data_is_noted():
    records, _ = cohort_of(4)
    soon = str(TODAY + np.timedelta64(400, "D"))
    (note,) = predictor_on("landmark").predict(meds(records), as_of=soon).notes
    assert note.startswith("as_of lies in the future and after every record")
    assert predictor_on("visit").predict(meds(records), as_of=soon).notes == ()
    assert predictor_on("landmark").predict(meds(records), as_of="2024-01-01").notes == ()


@pytest.mark.parametrize("clock", CLOCKS)
def test_a_wrong_date_is_noted_and_changes_nobody_elses_prediction(clock):
    records, _ = cohort_of(30)
    # Without the outcome, after which no visit would be read.
    free = [(time, encounter, ["X/1", *codes]) for time, encounter, codes in records["s0007"] if "X/7" not in codes]
    records["s0007"] = free
    wrong = {**records, "s0007": [*records["s0007"], ("2104-03-01T08:00:00", "e99", ["X/1", "X/2"])]}
    plain, found = (predictor_on(clock).predict(meds(each)) for each in (records, wrong))
    assert [note.split(":")[0] for note in found.notes] == [
        PAST_TODAY,
        "1 of 30 records end more than a year after the last day of the others",
    ]
    others = [table.query("subject_id != 's0007'").drop(columns="curve") for table in (plain.table, found.table)]
    pd.testing.assert_frame_equal(*others)
    # An entry after as_of has no effect.
    hidden = predictor_on(clock).predict(meds(wrong), as_of="2024-01-01")
    assert hidden.notes == ()


def test_a_record_longer_than_a_life_is_not_scored():
    records, _ = cohort_of(2)
    name, other = records
    records[name] = [("1880-01-01T08:00:00", "e98", ["X/1"]), *records[name]]
    # A fact dated to a birth long before the visits: MIMIC-III shifts births of subjects over 89 by 300 years.
    table = meds(records, births=False)
    rows = [(other, "1812-05-06", code, None, np.nan) for code in ("MEDS_BIRTH", "X/3")]
    rows.append((name, "1879-01-01", "MEDS_BIRTH", None, np.nan))
    found = predictor_on("visit").predict(pd.concat([table, pd.DataFrame(rows, columns=table.columns)]))
    assert found.table["subject_id"].tolist() == [other]
    (reason,) = found.not_scored["reason"]
    assert reason.startswith("the visits lie more than 120 years apart, so a date is wrong")


def ends(*days):
    return np.array(days, dtype="datetime64[D]").astype("datetime64[s]")


def late_of(*groups):
    last_days = RecordEndDays()
    for group in groups:
        last_days.add(group)
    return last_days.late


def test_which_records_end_late():
    clustered = ends("2020-01-01") + np.arange(200) * np.timedelta64(1, "D")
    typo = ends("2102-01-01")
    assert late_of(clustered, typo) == 1
    assert late_of(clustered, ends("2021-05-01")) == 0
    # With too few records no end is known; added in parts the result is the same as added at once.
    assert late_of(clustered[:18], typo) == 0
    assert late_of(*np.array_split(np.append(clustered, typo), 50)) == 1
    # Records shifted one by one within a century, as in MIMIC.
    spread = ends("2110-01-01") + np.random.default_rng(0).integers(0, 35_000, 25) * np.timedelta64(1, "D")
    assert late_of(spread) == 0
    # Most subjects leave early, some are followed for long.
    assert late_of(clustered, np.repeat(ends("2030-01-01"), 20)) == 0
    assert late_of(ends("NaT")) == 0


def test_today_s_date_changes_nothing_but_a_note(monkeypatch):
    records, _ = cohort_of(25)
    now = predictor_on("visit").predict(meds(records))

    class Then(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.datetime(2011, 6, 1, tzinfo=tz)

    monkeypatch.setattr("survlstm.inference.dates.datetime.datetime", Then)
    then = predictor_on("visit").predict(meds(records))
    pd.testing.assert_frame_equal(then.table, now.table)
    pd.testing.assert_frame_equal(then.not_scored, now.not_scored)
    assert now.notes == ()
    assert [note.split(":")[0] for note in then.notes] == [PAST_TODAY]


def test_an_explanation_has_the_note_too():
    records, _ = cohort_of(1, seed=11)
    by = [int(CENTURY / np.timedelta64(1, "D"))]
    found = predictor_on("visit").explain(born(meds(moved(records, by)), records, by))
    assert [note.split(":")[0] for note in found.attrs["notes"]] == [PAST_TODAY]
    assert predictor_on("visit").explain(meds(records)).attrs["notes"] == ()


def test_as_of_may_be_a_day_of_a_later_century():
    assert str(parse_as_of("2250-01-31")) == "2250-01-31T23:59:59"
