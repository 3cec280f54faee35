"""``survlstm export`` and ``predict`` as they are typed: parts as the whole, files whole, bad input told."""

import csv
import json
import resource
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import survlstm
from survlstm.cli.main import main
from survlstm.report.task import BANNER
from survlstm.utils.files import file_lock, write_json
from tests.lives import Life


def told(path):
    return json.loads(path.read_text())


def test_predictions_of_parts_are_those_of_the_whole_and_of_the_run(survlstm, trained, tmp_path, capsys):
    run, bundle, export = trained
    words = [f"bundle={bundle}", f"data.path={export}"]
    assert survlstm("predict", *words, "output=whole.parquet") == 0
    assert survlstm("predict", *words, "output=parts.csv", "subjects_at_once=7") == 0
    assert survlstm("predict", *words, "output=visits.parquet", "per_visit=true", "subjects_at_once=25") == 0
    said = capsys.readouterr().out
    assert said.count(BANNER) == 3
    assert told(tmp_path / "whole.json")["banner"] == BANNER
    assert "60 subjects are split into 9 parts" in said
    assert "Part 9 of 9 scored (60 of 60 subjects)" in said
    whole, parts = pd.read_parquet("whole.parquet"), pd.read_csv("parts.csv")
    assert parts["subject_id"].tolist() == whole["subject_id"].tolist() == sorted(whole["subject_id"])
    curves = np.array([json.loads(text) for text in parts["curve"]])
    # Of another batch the rounding is another.
    np.testing.assert_allclose(curves, np.stack(whole["curve"]), atol=1e-6)
    assert pd.to_datetime(parts["history_end"]).dt.tz_localize(None).tolist() == whole["history_end"].tolist()
    assert sum(told(tmp_path / "whole.json")["subjects_by_third_of_the_training_risk"].values()) == len(whole)
    left_out = pd.read_csv("whole.not_scored.csv")
    pd.testing.assert_frame_equal(left_out, pd.read_csv("parts.not_scored.csv"))
    assert len(whole) + len(left_out) == told(tmp_path / "whole.json")["subjects_scored"] + len(left_out) == 60
    assert sum(told(tmp_path / "whole.json")["subjects_not_scored"].values()) == len(left_out) > 0

    own = pd.read_parquet(run / "predictions.parquet")
    # A row of predictions stands for at least three visits.
    own = own[own["step"] >= 2]
    found = own.merge(
        pd.read_parquet("visits.parquet"), left_on=["subject_id", "step"], right_on=["subject_id", "visit"]
    )
    assert len(found) == len(own)
    np.testing.assert_allclose(found["hazard_y"], found["hazard_x"], atol=1e-6)


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_parts_in_which_nobody_is_scored_are_part_of_the_file(survlstm, trained, ending):
    _, bundle, export = trained
    words = [f"bundle={bundle}", f"data.path={export}"]
    # So long ago hardly anybody has three visits.
    assert survlstm("predict", *words, "subjects_at_once=6", "as_of=1965-06-30", f"output=some.{ending}") == 0
    assert survlstm("predict", *words, "as_of=1900-01-01", f"output=nobody.{ending}") == 0
    read = pd.read_parquet if ending == "parquet" else pd.read_csv
    some, nobody = read(f"some.{ending}"), read(f"nobody.{ending}")
    parts = pd.concat([some, pd.read_csv("some.not_scored.csv")])["subject_id"].sort_values().reset_index(drop=True)
    assert parts.isin(some["subject_id"]).groupby(parts.index // 6).sum().min() == 0 < len(some)
    assert len(nobody) == 0
    assert list(nobody.columns) == list(some.columns)
    assert len(pd.read_csv("nobody.not_scored.csv")) == 60


def test_the_file_says_what_it_holds(survlstm, trained):
    _, bundle, export = trained
    assert survlstm("predict", f"bundle={bundle}", f"data.path={export}", "horizons=[1,3]", "as_of=2020-06-30") == 0
    schema = pq.read_schema("predictions.parquet")
    assert json.loads(schema.metadata[b"grid"]) == list(range(1, 11))
    assert schema.metadata[b"unit"] == b"visits"
    assert {"survival_1", "survival_3"} <= set(schema.names)
    assert "survival_5" not in schema.names
    found = pd.read_parquet("predictions.parquet")
    assert (found["history_end"] < "2020-07-01").all()


def test_the_bundle_tells_its_cohort_and_no_subject(trained):
    run, bundle, _ = trained
    predictor = survlstm.load_bundle(bundle)
    card = predictor.bundle.card
    test = told(run / "metrics.json")["test"]
    for line in test["lines"]:
        assert line in card
    assert card.split("\n\n")[1] == f"**{BANNER}.**"
    assert "| LOINC/" in card
    everything = json.dumps([predictor.bundle.cohort, predictor.bundle.metrics]) + card
    ids = {str(name) for name in pd.read_parquet(run / "predictions.parquet")["subject_id"]}
    assert not [name for name in ids if name in everything]
    places = f"{predictor.bundle.config.model_dump()}"
    assert str(run.parent) not in places + card
    described = sum(bool(text) for text in predictor.bundle.descriptions.values())
    assert described > len(predictor.bundle.preprocessing.vocabulary) * 0.9


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["predict", "bundle=nothing", "data.path={export}"], 8, "found nothing at"),
        (["predict", "bundle={run}", "data.path={export}"], 8, "Export it first"),
        (["predict", "bundle={bundle}"], 2, "data.path has no value and needs one"),
        (["predict", "bundle={bundle}", "data.path=nowhere"], 2, "must be a folder with Synthea CSV tables"),
        (["predict", "bundle={bundle}", "data.path={run}"], 3, "must hold patients.csv"),
        (["predict", "bundle={bundle}", "data.path={export}", "output=x.txt"], 2, "must end in .parquet or .csv"),
        (["predict", "bundle={bundle}", "data.path={export}", "horizons=[20]"], 2, "horizons must be whole numbers"),
        (["predict", "bundle={bundle}", "data.path={export}", "as_of=soon"], 2, "must be a day or a time"),
        (["predict", "bundle={bundle}", "data.path={export}", "horizon=3"], 2, "nearest valid key is horizons"),
        (["predict", "-m", "bundle={bundle}"], 2, "leave out -m"),
        (["export", "run={export}", "output=b"], 2, "must hold config.yaml"),
        (["export", "run={run}", "output={run}"], 8, "output must be new"),
        (["export", "run={run}", "output=b", "format=pickle"], 2, "format"),
    ],
)
def test_wrong_words_end_in_a_sentence_and_leave_nothing(survlstm, trained, capsys, words, code, said):  # noqa: PLR0917
    run, bundle, export = trained
    assert survlstm(*(word.format(run=run, bundle=bundle, export=export) for word in words)) == code
    captured = capsys.readouterr()
    assert said in captured.out + captured.err
    assert "Traceback" not in captured.err
    assert list(Path().iterdir()) == []


def test_an_output_that_stands_already_is_left_alone(survlstm, trained, tmp_path, capsys):
    _, bundle, export = trained
    (tmp_path / "predictions.not_scored.csv").write_text("mine")
    assert survlstm("predict", f"bundle={bundle}", f"data.path={export}") == 2
    assert "predictions.not_scored.csv is there already" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.not_scored.csv"]


@pytest.mark.parametrize("at_once", [7, 2000])
def test_an_export_with_too_many_unusable_rows_gives_no_predictions(survlstm, trained, tmp_path, capsys, at_once):
    _, bundle, export = trained
    shutil.copytree(export, tmp_path / "broken")
    with (tmp_path / "broken" / "conditions.csv").open(newline="") as stream:
        rows = list(csv.reader(stream))
    for row in rows[1::20]:
        row[rows[0].index("START")] = "soon"
    with (tmp_path / "broken" / "conditions.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    words = [f"bundle={bundle}", "data.path=broken", f"subjects_at_once={at_once}"]
    assert survlstm("predict", *words) == 3
    assert "conditions" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["broken"]
    assert survlstm("predict", *words, "data.source.max_unusable_share=0.1") == 0


def with_small_files(words):
    """The command, where no file may grow above 20 kB."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
    main(words)


def test_a_full_disk_leaves_nothing_half_written(trained, tmp_path, shared_cache):
    _, bundle, export = trained
    folder = tmp_path / "here"
    folder.mkdir()
    words = ["predict", f"bundle={bundle}", f"data.path={export}", "per_visit=true", f"output={folder}/found.csv"]
    life = Life(tmp_path / "life", *words, f"cache_dir={shared_cache}", command=with_small_files)
    assert life.ended() == 8, life.said
    assert f"predictions must be written to {folder}/found.csv; the system says" in life.said
    assert list(folder.iterdir()) == []


def test_told_to_stop_it_leaves_nothing(trained, tmp_path):
    _, bundle, export = trained
    folder = tmp_path / "here"
    folder.mkdir()
    words = ["predict", f"bundle={bundle}", f"data.path={export}", f"output={folder}/found.csv"]
    life = Life(tmp_path / "life", *words, "subjects_at_once=1", f"cache_dir={folder}/cache").until("Part 1 of")
    life.process.terminate()
    assert life.ended() == 143, life.said
    assert [path.relative_to(folder).as_posix() for path in folder.rglob("*")] == ["cache"]


def test_what_a_killed_one_left_is_removed_by_the_next(survlstm, trained, tmp_path, capsys):
    _, bundle, export = trained
    left, held = (tmp_path / "cache" / f"parts-of-an-export-{name}" for name in ("left", "held"))
    for folder in (left, held):
        folder.mkdir(parents=True)
        (folder / ".lock").touch()
    words = [f"bundle={bundle}", f"data.path={export}", "subjects_at_once=30", "cache_dir=cache"]
    with file_lock(held / ".lock"):
        assert survlstm("predict", *words) == 0
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [held.name]
    assert f"removed cache/{left.name}" in capsys.readouterr().out


@pytest.mark.parametrize("at_once", [7, 2000])
def test_malformed_rows_are_counted_in_parts_too(survlstm, trained, tmp_path, capsys, at_once):
    _, bundle, export = trained
    shutil.copytree(export, tmp_path / "export")
    with (tmp_path / "export" / "conditions.csv").open("a") as stream:
        stream.write("a,row,too,short\n")
    words = [f"bundle={bundle}", "data.path=export", f"subjects_at_once={at_once}", "output=found.csv"]
    assert survlstm("predict", *words) == 0
    assert "(malformed row 1)" in capsys.readouterr().out


def test_tables_that_are_missing_are_told(survlstm, trained, tmp_path, capsys):
    _, bundle, export = trained
    assert survlstm("predict", f"bundle={bundle}", f"data.path={export}") == 0
    assert "the model was trained on" not in capsys.readouterr().out
    shutil.copytree(export, tmp_path / "less")
    for table in ("observations", "devices"):
        (tmp_path / "less" / f"{table}.csv").unlink()
    assert survlstm("predict", f"bundle={bundle}", "data.path=less", "output=less.csv") == 0
    assert "the model was trained on devices, observations as well" in capsys.readouterr().out


def test_a_run_without_a_verdict_is_not_exported(survlstm, trained, tmp_path, capsys, shared_cache):
    run, _, _ = trained
    shutil.copytree(run, tmp_path / "run")
    write_json(tmp_path / "run" / "metrics.json", {"diagnostics": []})
    assert survlstm("export", "run=run", "output=bundle", f"cache_dir={shared_cache}") == 8
    assert "a bundle must say how good its model is" in capsys.readouterr().out
    assert not (tmp_path / "bundle").exists()


def test_an_export_of_another_century_is_scored_with_one_note(survlstm, trained, tmp_path, capsys):
    _, bundle, _ = trained
    assert survlstm("simulate", "patients=40", "seed=5", "end_date=2205-06-30", "output=export") == 0
    words = [f"bundle={bundle}", "data.path=export"]
    assert survlstm("predict", *words, "output=whole.parquet") == 0
    assert survlstm("predict", *words, "output=parts.parquet", "subjects_at_once=15") == 0
    said = capsys.readouterr().out
    # Once a command, for all parts together.
    assert said.count("WARNING: the data reach past today: 40 of 40 records end after it") == 2
    whole, parts = (pd.read_parquet(f"{name}.parquet") for name in ("whole", "parts"))
    assert len(whole) > 20
    assert whole["subject_id"].tolist() == parts["subject_id"].tolist()
    assert (whole["history_end"] > "2190").all()
    assert not pd.read_csv("whole.not_scored.csv")["reason"].str.contains("future").any()
    assert survlstm("predict", *words, "output=then.parquet", "as_of=2202-01-01") == 0
    assert (pd.read_parquet("then.parquet")["history_end"] < "2202-01-02").all()


def test_predictions_can_be_read_by_their_owner_alone(survlstm, trained, tmp_path):
    run, bundle, export = trained
    for name in ("found.csv", "found2.parquet"):
        assert survlstm("predict", f"bundle={bundle}", f"data.path={export}", f"output={name}") == 0
    files = [
        "found.csv",
        "found.not_scored.csv",
        "found2.parquet",
        "found2.not_scored.csv",
        run / "predictions.parquet",
    ]
    assert [Path(file).stat().st_mode & 0o777 for file in files] == [0o600] * 5
    # What holds no subject is as open as the user has it.
    assert Path("found.json").stat().st_mode & 0o777 != 0o600


def test_unknown_codes_are_named_where_many_have_them(survlstm, trained, tmp_path, capsys):
    _, bundle, export = trained
    copy = shutil.copytree(export, tmp_path / "export")
    names = pd.read_csv(copy / "patients.csv", dtype=str)["Id"].tolist()
    with (copy / "devices.csv").open() as stream:
        width = len(next(csv.reader(stream)))
    rows = [(name, "5557777") for name in names[:30]] + [(name, "4446666") for name in names[:3] * 15]
    with (copy / "devices.csv").open("a") as stream:
        for name, code in rows:
            cells = ["2020-01-01T00:10:00Z", "", name, "", code, "made up", ""]
            stream.write(",".join(cells[:width]) + "\n")
    for at_once in (5, 100):
        assert (
            survlstm(
                "predict",
                f"bundle={bundle}",
                f"data.path={copy}",
                f"subjects_at_once={at_once}",
                f"output=a{at_once}.csv",
            )
            == 0
        )
        said = capsys.readouterr().out
        assert "the most frequent that at least 10 subjects have: SNOMED/5557777 30" in said
        assert "4446666" not in said
