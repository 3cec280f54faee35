"""Fused codes, columns and counts, against worked cases and a reference that walks through each record."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from survlstm.data.events import ValueFault
from survlstm.data.values.apply import COLUMN_SCALE, COLUMNS_PER_MEASURE, value_columns
from survlstm.data.values.counts import ValueCounts, count_values
from survlstm.data.values.fit import fit_values
from survlstm.data.values.settings import ValueSettings
from survlstm.data.values.valued_visits import use_values
from survlstm.data.visits import take_entries
from tests.valued import visits_of

SETTINGS = ValueSettings(form="both", most_bins=3, min_values_per_bin=2)
# Six values of X/a in mg for the fit, on the visits of a first subject.
FIT = [(0, day, "X/a", float(day), "mg") for day in range(6)]


def used(rows, form=SETTINGS, faults=None):
    visits = visits_of(FIT + rows, {len(FIT) + row: kind for row, kind in (faults or {}).items()})
    is_training = np.arange(len(visits.subjects)) == 0
    return visits, use_values(visits, fit_values(visits, form, is_training=is_training, min_frequency=2))


def codes_of(visits, visit):
    return [
        str(visits.codes[code]) for code in visits.code[visits.code_offsets[visit] : visits.code_offsets[visit + 1]]
    ]


def test_a_value_keeps_its_code_and_adds_a_fused_one_at_the_end_of_the_visit():
    rows = [(1, 0, "X/a", 3.0, "mg"), (1, 0, "X/b", None, ""), (1, 0, "X/c", 4.0, "mg"), (1, 1, "X/b", 9.0, "")]
    _, found = used(rows)
    assert codes_of(found.visits, 6) == ["X/a", "X/b", "X/c", "X/a//mg//value_[2,4)"]
    assert codes_of(found.visits, 7) == ["X/b"]
    assert found.fused.tolist() == [1] * 7 + [0]
    # The entries of the record keep their values, and the added codes have none.
    values = [[3.0, None, 4.0, None], [9.0]]
    for visit, expected in zip((6, 7), values, strict=True):
        cells = found.visits.value[found.visits.code_offsets[visit] : found.visits.code_offsets[visit + 1]]
        assert [None if np.isnan(cell) else float(cell) for cell in cells] == expected


def test_two_values_in_one_visit_both_count_and_the_greater_of_one_time_is_the_last():
    _, found = used([(1, 0, "X/a", 5.0, "mg"), (1, 0, "X/a", 0.0, "mg")])
    assert codes_of(found.visits, 6) == ["X/a", "X/a", "X/a//mg//value_[-inf,2)", "X/a//mg//value_[4,inf)"]
    assert found.columns[6, 0] == found.columns[5, 0]
    assert found.columns[6, 1] == pytest.approx(found.columns[5, 0] - found.columns[0, 0])


def test_another_unit_or_a_fault_is_the_code_alone_and_is_counted():
    rows = [
        (1, 0, "X/a", 3.0, "ug"),
        (1, 0, "X/a", 3.0, ""),
        (1, 1, "X/a", None, "mg"),
        (1, 2, "X/a", None, "mg"),
        (1, 3, "X/a", None, ""),
        (1, 4, "X/a", 1000.0, "mg"),
        (1, 4, "X/new", 3.0, "mg"),
    ]
    _, found = used(rows, faults={2: ValueFault.TEXT, 3: ValueFault.INFINITE})
    assert found.fused[6:].tolist() == [0, 0, 0, 0, 1]
    counts = found.counts
    assert (counts.numbers, counts.in_bins, counts.other_unit, counts.far_outside) == (10, 7, 2, 1)
    assert (counts.texts, counts.infinite) == (1, 1)
    (measure,) = counts.measures
    assert (measure.entries_of_code, measure.values, measure.far_outside) == (12, 7, 1)
    assert (measure.texts, measure.infinite, measure.without_value) == (1, 1, 1)
    assert (measure.subjects_with_several_units, measure.visits_with_several) == (1, 0)
    # A value far outside is the last bin, and its score is bounded.
    assert codes_of(found.visits, 10)[-1] == "X/a//mg//value_[4,inf)"
    assert found.columns[10, 0] == pytest.approx(COLUMN_SCALE * 2.326, abs=1e-3)


def test_recency_falls_with_the_years_since_the_last_value():
    _, found = used([(1, 0, "X/b", None, ""), (1, 10, "X/a", 2.0, "mg"), (1, 375, "X/b", None, "")])
    assert found.columns[6].tolist() == [0, 0, 0]
    assert found.columns[7, 2] == pytest.approx(COLUMN_SCALE)
    assert found.columns[8, 2] == pytest.approx(COLUMN_SCALE / (1 + 365 / 365.25))
    assert found.columns[8, 0] == found.columns[7, 0]


rows_with_values = st.lists(
    st.tuples(
        st.integers(1, 3),
        st.integers(0, 6),
        st.sampled_from(["X/a", "X/b"]),
        st.one_of(st.none(), st.integers(-3, 9).map(float)),
        st.sampled_from(["mg", "ug"]),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(rows_with_values)
def test_columns_and_fused_codes_are_those_of_a_walk_through_each_record(rows):
    visits = visits_of(FIT + [(0, day, "X/b", float(day), "ug") for day in range(4)] + rows)
    fitted = fit_values(visits, SETTINGS, is_training=np.arange(len(visits.subjects)) == 0, min_frequency=2)
    columns = value_columns(visits, fitted, fitted.find(visits))
    known = {(each.code, each.unit): each for each in fitted.measures}
    chosen = [fitted.measures[number] for number in fitted.column_measures]
    fused = use_values(visits, fitted)
    days = visits.visit_time.astype("datetime64[s]").astype(int) / 86400
    for subject in range(len(visits.subjects)):
        last, before, when = {}, {}, {}
        for visit in range(visits.visit_offsets[subject], visits.visit_offsets[subject + 1]):
            expected = []
            for entry in range(visits.code_offsets[visit], visits.code_offsets[visit + 1]):
                key = (str(visits.codes[visits.code[entry]]), str(visits.units[visits.unit[entry]]))
                if np.isnan(visits.value[entry]) or key not in known:
                    continue
                before[key] = last.get(key)
                last[key], when[key] = known[key].score(visits.value[entry : entry + 1])[0], days[visit]
                expected += [known[key].bin_codes[int(np.sum(np.float32(known[key].edges) <= visits.value[entry]))]]
            for place, measure in enumerate(chosen):
                key = measure.code, measure.unit
                cells = columns[visit, COLUMNS_PER_MEASURE * place : COLUMNS_PER_MEASURE * (place + 1)]
                if key not in last:
                    assert cells.tolist() == [0, 0, 0]
                    continue
                change = 0 if before[key] is None else last[key] - before[key]
                recency = 1 / (1 + (days[visit] - when[key]) / 365.25)
                assert cells / COLUMN_SCALE == pytest.approx([last[key], change, recency], abs=1e-5)
            assert codes_of(fused.visits, visit)[visits.codes_per_visit[visit] :] == expected


def test_counts_survive_a_file():
    visits = visits_of(FIT)
    fitted = fit_values(visits, SETTINGS, is_training=np.array([True]), min_frequency=2)
    counts = count_values(visits, fitted, fitted.find(visits))
    plain = json.loads(json.dumps(dataclasses.asdict(counts)))
    assert ValueCounts.from_plain(plain) == counts
    with pytest.raises(ValueError, match="numbers of ValueCounts is invalid"):
        ValueCounts.from_plain(plain | {"numbers": "1"})


def test_entries_are_taken_with_their_values():
    visits = visits_of(FIT)
    taken = take_entries(visits, np.array([5, 0]))
    assert taken.value.tolist() == [5, 0]
