"""Values that can't be used as they are: values.csv counts each in its column, and large shares give warnings."""

import re
from dataclasses import replace

import numpy as np
import pytest

from survlstm.data.events import ValueFault
from survlstm.data.external_cohort import combine_with_cohort
from survlstm.data.outcomes.clinical import DeathOutcome
from survlstm.data.prepare import prepare_uncached
from survlstm.data.split import Split
from survlstm.data.values.settings import ValueSettings
from survlstm.data.values.warnings import value_warnings
from survlstm.report.console_summary import log_preparation
from survlstm.report.value_table import value_rows, value_table, values_in_words
from tests.records import SETTINGS, RecordsSource, events_of, with_static
from tests.report.sample import measure, value_counts

SUBJECTS, VISITS = 60, 5
NO_NUMBER, TEXT, INFINITE = float("nan"), 1e30, 2e30
USED = replace(SETTINGS, values=ValueSettings("both", most_bins=3, min_values_per_bin=20, most_columns=3))


def entries(subject, visit):
    """A number of each code at each visit, with the faults of a few."""
    number = float((7 * subject + 3 * visit) % 11)
    yield "X/regular", number, "mg"
    yield "X/text", TEXT if subject < 12 and visit == 1 else number, "mg"
    yield "X/infinite", INFINITE if subject < 3 and visit == 0 else number, "mg"
    # The unit of 20 subjects changes after their second visit; one subject has a unit of its own.
    yield "X/units", number, "g" if subject < 20 and visit > 1 else "mol" if subject == 59 else "mg"
    # One row in three has a number.
    for row in range(3):
        yield "X/third", number if row == 0 else NO_NUMBER, "" if row else "mg"
    yield "X/constant", 1.0, ""
    yield "X/twice", number, "mg"
    if subject < 15:
        yield "X/twice", number + 1, "mg"
    yield "X/far", 1e6 if (subject, visit) == (4, 2) else number, "mg"
    if subject % 2 and visit == 3:
        yield "X/rare", number, "mg"


def bad_events(subjects=range(SUBJECTS)):
    """The records with faults; a last visit without values is not at risk."""
    records = {
        f"s{subject:02d}": [
            # Rows of equal content count once, so that the rows without a number have times of their own.
            (f"2020-01-{1 + visit:02d}T08:{row:02d}:00", f"e{visit}", [entry])
            for visit in range(VISITS)
            for row, entry in enumerate(entries(subject, visit))
        ]
        + [("2020-02-01T08:00:00", "last", ["X/end"])]
        for subject in subjects
    }
    events = events_of(records, deaths={name: "2020-03-01" for name in list(records)[::2]})
    fault = np.select(
        [events.numeric_value == np.float32(TEXT), events.numeric_value == np.float32(INFINITE)],
        [ValueFault.TEXT, ValueFault.INFINITE],
        ValueFault.NONE,
    ).astype(np.int8)
    value = np.where(fault == ValueFault.NONE, events.numeric_value, np.float32(NO_NUMBER))
    events = replace(events, numeric_value=value, unit=np.where(np.isnan(value), 0, events.unit), value_fault=fault)
    return with_static(events, {name: ["GENDER//F"] for name in records})


@pytest.fixture(scope="module")
def prepared():
    """The records, prepared; only read."""
    return prepare_uncached(RecordsSource(bad_events()), DeathOutcome(), USED)


@pytest.fixture(scope="module")
def table(prepared):
    """Their values.csv, by code and unit."""
    rows = value_rows(prepared.flow.values, {"X/regular": "Regular"}, USED)
    return value_table(rows).set_index(["code", "unit"])


ALL = SUBJECTS * VISITS
IRREGULAR = ("far_outside", "visits_with_several", "texts", "infinite", "without_value", "subjects_with_several_units")


@pytest.mark.parametrize(
    ("code", "unit", "expected"),
    [
        ("X/regular", "mg", {"values": ALL, "entries_of_code": ALL, "description": "Regular"}),
        ("X/text", "mg", {"values": ALL - 12, "entries_of_code": ALL, "texts": 12}),
        ("X/infinite", "mg", {"values": ALL - 3, "entries_of_code": ALL, "infinite": 3}),
        ("X/units", "mg", {"values": ALL - 60 - 5, "entries_of_code": ALL, "subjects_with_several_units": "20"}),
        ("X/units", "g", {"values": 60, "entries_of_code": ALL, "subjects_with_several_units": "20"}),
        ("X/third", "mg", {"values": ALL, "entries_of_code": 3 * ALL, "without_value": 2 * ALL}),
        ("X/constant", "", {"values": ALL, "entries_of_code": ALL}),
        ("X/twice", "mg", {"values": ALL + 75, "entries_of_code": ALL + 75, "visits_with_several": 75}),
        ("X/far", "mg", {"values": ALL, "entries_of_code": ALL, "far_outside": 1}),
        ("X/rare", "mg", {"values": 30, "entries_of_code": 30}),
    ],
)
def test_each_irregular_value_is_in_its_column(table, code, unit, expected):
    row = table.loc[code, unit]
    regular = {name: "0" if name == "subjects_with_several_units" else 0 for name in IRREGULAR} | {"description": ""}
    assert row[list(regular | expected)].to_dict() == regular | expected


def test_the_table_has_the_bins_or_why_there_are_none(prepared, table):
    regular = table.loc["X/regular", "mg"]
    bins, counts = (
        regular["bins"].split("; "),
        [int(number) for number in regular["training_values_per_bin"].split("; ")],
    )
    assert (bins[0], bins[-1]) == ("[-inf,4)", "[8,inf)")
    training = len(prepared.tensors.members(Split.TRAIN)) * VISITS
    assert (len(counts), sum(counts), min(counts) >= 20) == (len(bins), training, True)
    assert regular["note"] == ""
    rare = table.loc["X/rare", "mg"]
    number = int(rare["training_values_per_bin"])
    assert 20 <= number < 40
    assert (rare["bins"], rare["note"]) == ("", f"too few values: {number} in the training, and two bins need 40")
    assert table.loc["X/constant", ""]["note"].startswith("hardly any other value: equal ones leave fewer than 20 of")
    assert table["has_columns"].sum() == 3
    assert table["values"].is_monotonic_decreasing
    assert ("X/units", "mol") not in table.index


def test_every_number_is_used_or_the_code_alone_for_one_reason(prepared, table):
    counts = prepared.flow.values
    assert counts.numbers == table["values"].sum() + 5
    has_bins = table["bins"] != ""
    assert counts.in_bins == table["values"][has_bins].sum()
    assert counts.used == table["values"][has_bins | table["has_columns"]].sum()
    assert (counts.other_unit, counts.far_outside, counts.texts, counts.infinite) == (5, 1, 12, 3)
    unused = table["values"][~has_bins & ~table["has_columns"]]
    assert set(unused.index) == {("X/constant", ""), ("X/rare", "mg")}
    assert counts.unfitted == unused.sum()


def test_entries_read_and_added_are_those_left_out_and_used(prepared):
    flow = prepared.flow
    assert flow.fused_added == flow.values.in_bins == prepared.tensors.fused_codes.sum()
    assert flow.static_added == 0
    static = replace(USED, demographics=replace(USED.demographics, inputs=("sex",)))
    flow = prepare_uncached(RecordsSource(bad_events()), DeathOutcome(), static).flow
    assert (flow.static_added, flow.fused_added) == (flow.visits_used, flow.values.in_bins)
    assert flow.entries_read + flow.entries_added == sum(flow.entries_left_out.values()) + flow.entries_used


def test_of_another_cohort_only_its_own_fused_codes_are_added(prepared):
    other = prepare_uncached(
        RecordsSource(bad_events(range(30, SUBJECTS + 30))), DeathOutcome(), USED, preprocessing=prepared.preprocessing
    )
    applied = combine_with_cohort(prepared, other)
    flow, is_test = applied.flow, applied.tensors.split == Split.TEST
    of_test = np.repeat(is_test, applied.tensors.visits_per_subject)
    assert flow.fused_added == applied.tensors.fused_codes[of_test].sum()
    assert 0 < flow.fused_added < other.flow.fused_added
    assert flow.entries_read + flow.entries_added == sum(flow.entries_left_out.values()) + flow.entries_used


def test_the_log_counts_values_in_one_line(prepared, caplog):
    caplog.set_level("INFO")
    log_preparation(prepared)
    flow = prepared.flow
    counts = flow.values
    assert (
        f"Values: {counts.numbers:,}; in bins {counts.in_bins:,}; in columns {counts.in_columns:,}; code alone: too "
        f"few values or hardly different {counts.unfitted:,}, other unit 5; far outside 1 (bounded); text in "
        "place of a number 12; infinite 3"
    ) in caplog.messages
    assert any(f"; fused codes of values added: {flow.fused_added:,}; left out" in line for line in caplog.messages)
    assert "static codes added" not in caplog.text
    assert all(warning in caplog.messages for warning in value_warnings(counts))


def test_without_bins_the_reason_is_another_one():
    counts = value_counts(measures=(measure(edges=(), bin_values=(40,)),))
    assert "code alone: too few, equal or of no measure with columns 55, other" in values_in_words(counts)
    (row,) = value_rows(counts, {}, replace(SETTINGS, values=ValueSettings("continuous")))
    assert row.note == "data.values=continuous makes no bins"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"far_outside": 10, "texts": 50, "infinite": 0}, []),
        ({"far_outside": 11}, [r"11 of 1,000 \(1.1 %\) numbers, of 1 measure, are far outside .*Check whether"]),
        ({"other_unit": 1}, [r"1 of 1,000 \(0.1 %\) numbers have no unit, or one .*Convert them"]),
        ({"texts": 53}, [r"53 of 1,053 \(5.0 %\) values are texts in place of numbers; .*Write them as numbers"]),
        ({"texts": 52}, []),
    ],
)
def test_large_shares_give_a_warning_that_says_what_to_change(changes, expected):
    nothing = dict.fromkeys(("in_columns", "other_unit", "far_outside", "texts", "infinite"), 0)
    measures = (measure(far_outside=changes.get("far_outside", 0)),)
    counts = value_counts(**{**nothing, "numbers": 1_000, "in_bins": 1_000, "measures": measures, **changes})
    found = value_warnings(counts)
    assert len(found) == len(expected)
    for sentence, pattern in zip(found, expected, strict=True):
        assert re.match(pattern, sentence)
