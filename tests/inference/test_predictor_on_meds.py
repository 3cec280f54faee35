"""A MEDS dataset and the same rows as a pandas table have the same predictions."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from survlstm.config.schema.data import MedsConfig
from survlstm.inference.predictor import Predictor
from survlstm.inference.score_export import score_export
from tests.bundles import bundle_on
from tests.records import random_records
from tests.serving.asking import app_on, as_json, ask

SUBJECTS = 23


def predictor_on_meds(clock, encounter_column="auto"):
    bundle = bundle_on(clock)
    target = "survlstm.data.sources.meds.source.MedsSource"
    source = MedsConfig(target=target, encounter_column=encounter_column, max_unusable_share=0.01)
    data = bundle.config.data.model_copy(update={"source": source, "path": None})
    return Predictor(replace(bundle, config=bundle.config.model_copy(update={"data": data})))


def rows_of_subjects(encounter):
    """Rows of MEDS with deaths, static codes, days, and entries around the days of death."""
    rows = []
    for subject, visits in enumerate(random_records(SUBJECTS, seed=5, mean_visits=6).values(), start=90):
        rows.append((subject, None, "GENDER//F", None))
        rows.append((subject, "1960-01-01T00:00:00", "MEDS_BIRTH", None))
        rows += [
            (subject, time, code, None if number % 3 == 0 else number)
            for number, (time, _, codes) in enumerate(visits)
            for code in codes
        ]
        last = np.datetime64(visits[-1][0][:10])
        rows.append((subject, f"{visits[-1][0][:10]}T00:00:00", "X/3", None))
        if subject % 3 == 0:
            rows.append((subject, f"{last + 2}T20:00:00", "X/1", len(visits)))
            rows.append((subject, f"{last + 3}T07:30:00", "MEDS_DEATH//HOSPITAL", None))
            rows.append((subject, f"{last + 3}T09:00:00", "X/2", None))
    table = pd.DataFrame(rows, columns=["subject_id", "time", "code", encounter])
    return table.assign(time=pd.to_datetime(table["time"]), **{encounter: table[encounter].astype("Int64")})


def write_dataset(folder, table):
    (folder / "data").mkdir(parents=True)
    for number, part in table.groupby(table["subject_id"] // 10):
        arrays = pa.Table.from_pandas(part, preserve_index=False)
        time = arrays["time"].cast(pa.timestamp("us"))
        pq.write_table(arrays.set_column(1, "time", time), folder / "data" / f"{number}.parquet")


def scored(predictor, folder, cache, subjects_at_once):
    parts = list(score_export(predictor, folder, subjects_at_once=subjects_at_once, cache_dir=str(cache)))
    return [pd.concat([getattr(part, name) for part in parts]) for name in ("table", "not_scored")]


def in_order(table):
    return table.sort_values("subject_id", ignore_index=True)


@pytest.mark.parametrize(("column", "setting"), [("hadm_id", "auto"), ("encounter_id", "auto"), ("stay", "stay")])
@pytest.mark.parametrize("clock", ["visit", "landmark"])
def test_the_dataset_and_the_table_have_the_same_predictions(clock, column, setting, tmp_path):
    predictor, table = predictor_on_meds(clock, setting), rows_of_subjects(column)
    write_dataset(tmp_path / "dataset", table)
    found = predictor.predict(table)
    assert len(found.table) > 3
    assert len(found.not_scored) >= SUBJECTS // 3
    for subjects_at_once in (100, 4):
        whole, left_out = scored(predictor, tmp_path / "dataset", tmp_path / "cache", subjects_at_once)
        expected = in_order(found.table)
        for name in expected.columns.drop("curve"):
            pd.testing.assert_series_equal(in_order(whole)[name], expected[name], rtol=1e-5, check_dtype=False)
        pd.testing.assert_frame_equal(in_order(left_out), in_order(found.not_scored))


def test_the_times_of_a_table_are_divided_among_the_parts(tmp_path, caplog):
    caplog.set_level("INFO")
    predictor, table = predictor_on_meds("days"), rows_of_subjects("encounter_id")
    write_dataset(tmp_path / "dataset", table)
    last = table.groupby("subject_id")["time"].max()
    days = (-2000, -60, 400)
    asked = pd.DataFrame([(str(name), time + pd.Timedelta(day, "D")) for name, time in last.items() for day in days])
    asked.columns = ["subject_id", "prediction_time"]
    asked = pd.concat([asked, asked[:3], asked[:2].assign(subject_id="nobody")])
    expected = predictor.predict(table, as_of=asked)
    assert min(len(expected.table), len(expected.not_scored)) > 10
    for subjects_at_once in (100, 4):
        caplog.clear()
        parts = score_export(
            predictor,
            tmp_path / "dataset",
            subjects_at_once=subjects_at_once,
            cache_dir=str(tmp_path / "cache"),
            as_of=asked,
        )
        parts = list(parts)
        whole, left_out = (pd.concat([getattr(part, name) for part in parts]) for name in ("table", "not_scored"))
        order = ["subject_id", "prediction_time"]
        for found, own in ((whole, expected.table), (left_out, expected.not_scored)):
            here, there = (each.sort_values(order, ignore_index=True) for each in (found, own))
            for name in there.columns.drop("curve", errors="ignore"):
                pd.testing.assert_series_equal(here[name], there[name], rtol=1e-5, check_dtype=False)
        said = [note for note in expected.notes if "prediction times" in note]
        assert len(said) == 3
        for note in said:
            assert caplog.text.count(note) == 1


def test_a_death_with_a_suffix_ends_a_record(tmp_path):
    table = rows_of_subjects("encounter_id")
    left_out = predictor_on_meds("visit").predict(table).not_scored
    dead = table.loc[table["code"] == "MEDS_DEATH//HOSPITAL", "subject_id"].astype(str)
    assert set(dead) == set(left_out.loc[left_out["reason"].str.contains("died|happened|death"), "subject_id"])


def test_encounters_that_the_training_did_not_read_are_not_read():
    table = rows_of_subjects("encounter_id")
    found = predictor_on_meds("visit", None).predict(table)
    expected = predictor_on_meds("visit", None).predict(table.drop(columns="encounter_id"))
    pd.testing.assert_frame_equal(found.table, expected.table)
    assert "no column encounter_id: entries of one day make one visit" in found.notes


def test_a_table_with_encounter_id_is_read_also_where_the_training_named_another_column():
    table = rows_of_subjects("encounter_id")
    found = predictor_on_meds("visit", "stay").predict(table)
    pd.testing.assert_frame_equal(found.table, predictor_on_meds("visit").predict(table).table)


def test_the_server_gives_the_same_predictions():
    predictor, table = predictor_on_meds("visit", "stay"), rows_of_subjects("encounter_id")
    sent = table.assign(
        subject_id=table["subject_id"].astype(str),
        time=table["time"].dt.strftime("%Y-%m-%dT%H:%M:%S"),
        encounter_id=table["encounter_id"].astype(str).where(table["encounter_id"].notna(), None),
    )
    answer = ask(app_on(predictor=predictor), "POST", "/predict", json=as_json(sent))
    assert answer.status_code == 200, answer.text
    found = {row["subject_id"]: row["risk"] for row in answer.json()["predictions"]}
    expected = predictor.predict(table).table.set_index("subject_id")["risk"]
    assert found == pytest.approx(expected.to_dict(), abs=1e-6)
    assert len(answer.json()["not_scored"]) >= SUBJECTS // 3
