"""Tests of the other methods of Predictor: predict_visits, predict_survival and explain."""

import numpy as np
import pandas as pd
import pytest

from survlstm.utils.errors import SourceError
from tests.bundles import cohort_of, meds, predictor_on

# In another batch a float32 model adds in another order.
ROUNDING = 1e-6
CLOCKS = ("visit", "landmark")


def test_visits_that_are_made_already_give_the_same_predictions():
    records = {
        name: [
            (f"2010-01-{day:02d}T{hour:02d}:00:00", f"e{day}", codes)
            for (_, _, codes), day in zip(visits, range(1, 28), strict=False)
        ]
        for hour, (name, visits) in enumerate(cohort_of(6)[0].items(), start=6)
    }
    table = meds(records)
    made = pd.DataFrame(
        [(name, time, sorted(set(codes))) for name, visits in records.items() for time, _, codes in visits][::-1],
        columns=["subject_id", "time", "codes"],
    ).assign(birth="1960-01-01")
    predictor = predictor_on("visit")
    one, other = predictor.predict(table, per_visit=True), predictor.predict_visits(made, per_visit=True)
    pd.testing.assert_frame_equal(one.table.drop(columns="curve"), other.table.drop(columns="curve"), atol=ROUNDING)
    early = predictor.predict_visits(made, as_of="2010-01-05").table
    assert early["visits"].tolist() == [5] * 6


def test_no_order_of_rows_shows_through_visits_at_one_time():
    rows = [("a", f"2010-01-0{day}", [f"X/{code}", "X/1"]) for day in (1, 2, 3) for code in (3, 5, 7)]
    made = pd.DataFrame(rows, columns=["subject_id", "time", "codes"]).assign(birth="1960-01-01")
    one, other = (predictor_on("visit").predict_visits(table).table for table in (made, made[::-1]))
    pd.testing.assert_frame_equal(one, other)
    assert str(one["history_end"][0]) == "2010-01-03 23:59:59"
    noon = predictor_on("visit").predict_visits(made, as_of="2010-01-03T12:00:00").table
    assert noon["visits"].tolist() == [6]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"codes": ["X/1", "X/2"]}, "a list of at least one code each; 2 of 2 do not, the first is row 1"),
        ({"codes": [["X/1"], []]}, "1 of 2 do not, the first is row 2"),
        ({"time": ["2010-01-01", None]}, "must have a time each"),
        ({"time": ["2010-01-01", "2340-01-01"]}, "of the years 1800 to 2300; 1 of 2 rows"),
        ({"codes": [["X/1"], ["MEDS_DEATH"]]}, "no codes MEDS_BIRTH or MEDS_DEATH"),
    ],
)
def test_visits_that_can_not_be_read_are_refused(changes, said):
    rows = {"subject_id": ["a", "a"], "time": ["2010-01-01", "2010-02-01"], "codes": [["X/1"], ["X/2"]]}
    with pytest.raises(SourceError, match=said):
        predictor_on("visit").predict_visits(pd.DataFrame(rows | changes))
    with pytest.raises(SourceError, match="must be a pandas DataFrame; found NoneType"):
        predictor_on("visit").predict_visits(None)
    with pytest.raises(SourceError, match="codes missing, found subject_id, time"):
        predictor_on("visit").predict_visits(pd.DataFrame(rows)[["subject_id", "time"]])


def test_the_guides_curves_look_back_along_the_record():
    records, _ = cohort_of(4)
    curves = predictor_on("visit").predict_survival(meds(records))
    hazard = predictor_on("visit").predict(meds(records), per_visit=True).table.set_index("subject_id")["hazard"]
    for row, name in enumerate(curves.subject_id):
        own = hazard[name].to_numpy()
        end = 2 + len(own)
        np.testing.assert_allclose(curves.survival[row, 2:end] / curves.survival[row, 1], np.cumprod(1 - own))
        np.testing.assert_allclose(np.diff(curves.cumulative_hazard[row, 1:end]), own)
        assert np.isnan(curves.survival[row, end:]).all()
    nobody = predictor_on("visit").predict_survival(meds({"a": [("2010-01-01T08:00:00", "e1", ["X/1"])]}))
    assert nobody.subject_id == ()


@pytest.mark.parametrize("clock", CLOCKS)
def test_an_explanation_names_what_leaving_a_code_out_changes(clock):
    records, _ = cohort_of(1, seed=11)
    predictor = predictor_on(clock)
    found = predictor.explain(meds(records))
    assert found["description"].tolist() == [f"finding number {code[2:]}" for code in found["code"]]
    assert found["effect"].abs().is_monotonic_decreasing
    assert found["effect"].abs().max() > 0
    (record,) = records.values()
    if clock == "visit":
        entries = {code: sum(code in codes for _, _, codes in record) for code in found["code"]}
        assert found.set_index("code")["entries"].to_dict() == entries


def test_only_known_codes_are_explained():
    (record,) = cohort_of(1, seed=11)[0].values()
    plain = predictor_on("visit").explain(meds({"a": record}))
    strange = [(time, encounter, [*codes, "Y/1"]) for time, encounter, codes in record]
    found = predictor_on("visit").explain(meds({"a": strange}))
    assert sorted(found["code"]) == sorted(plain["code"])
    with pytest.raises(SourceError, match=r"at most 10 to be explained here; found \d+"):
        predictor_on("visit").explain(meds({"a": record}), most_readings=10)


def test_who_is_not_scored_is_not_explained_and_has_no_curve():
    records, _ = cohort_of(2)
    dead, blind = records
    records[blind] = [(time, encounter, ["Y/1"]) for time, encounter, _ in records[blind]]
    table = meds(records, deaths={dead: "2020-01-01"})
    for name, why in ((dead, "the subject died on a day not shown here"), (blind, "no code of the record is in")):
        with pytest.raises(SourceError, match=f"this one is not: {why}"):
            predictor_on("visit").explain(table[table["subject_id"] == name])
    # predict_survival describes the past, so that it includes subjects who died.
    assert predictor_on("visit").predict_survival(table).subject_id == (dead,)


def test_an_explanation_is_of_one_subject_who_can_be_scored():
    with pytest.raises(SourceError, match="must hold one subject to be explained; found 2"):
        predictor_on("visit").explain(meds(cohort_of(2)[0]))
    with pytest.raises(SourceError, match="this one is not: 1 visit; the model was trained on records with 3 or more"):
        predictor_on("visit").explain(meds({"a": [("2010-01-01T08:00:00", "e1", ["X/1"])]}))
