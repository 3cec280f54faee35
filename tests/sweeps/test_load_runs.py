"""What a run's folder says, whole, half-written or broken."""

import json
import math
from pathlib import Path

import pytest

from survlstm.evaluation.results import Estimate, Interval
from survlstm.sweeps.load_runs import SplitMetrics, find_runs, parse_override, parse_value, read_run
from tests.sweeps import sample

FILES = ("manifest.json", "metrics.json", "history.json", "config.yaml")


@pytest.fixture
def run(tmp_path):
    """A finished run."""
    sample.write_run(tmp_path / "7", ["model.dropout=0.1", "data=cohort_1000"], val=(2.2, 0.8), test=(0.78, 2.3))
    return tmp_path / "7"


def approx(value, half=0.05):
    return Estimate(pytest.approx(value), Interval(pytest.approx(value - half), pytest.approx(value + half)))


def test_a_finished_run_says_everything(run):
    row = read_run(run)
    assert (row.name, row.state, row.is_finished, row.notes) == ("7", "finished", True, ())
    assert row.val == SplitMetrics(nll=approx(2.2), c_td=approx(0.8))
    assert row.test == SplitMetrics(nll=approx(2.3), c_td=approx(0.78))
    assert (row.subjects, row.events, row.parameters) == (188, 127, 1098625)
    assert (row.epochs, row.best_epoch, row.seconds, row.cost) == (3, 2, 90.0, 0.25)
    assert row.overrides == {"model.dropout": 0.1, "data": "cohort_1000"}
    assert row.record.overrides == ("model.dropout=0.1", "data=cohort_1000")
    assert row.config["optimizer.weight_decay"] == 1e-4
    assert row.config["data.path"] == "null"
    assert row.config["evaluation.landmarks.visits"] == "[2,5,10]"
    assert [row.setting(key) for key in ("model.dropout", "model.hidden_dim", "nowhere")] == [0.1, 256, None]


@pytest.mark.parametrize(
    ("difference", "expected"),
    [((0.01, 0.09), "beats"), ((-0.02, 0.05), "not shown"), ((0.0, 0.05), "not shown"), ((-0.2, -0.1), "worse")],
)
def test_how_it_stands_to_the_best_baseline(tmp_path, difference, expected):
    sample.write_run(tmp_path, difference=difference)
    row = read_run(tmp_path)
    assert (row.against_baseline, row.baseline) == (expected, "Cox (elastic net)")


def test_without_an_interval_of_the_difference_nothing_is_decided(run):
    content = json.loads((run / "metrics.json").read_text())
    content["test"]["rows"][2]["c_td_difference"] = None
    sample.write(run / "metrics.json", content)
    assert read_run(run).against_baseline == "undecided"


def test_validation_without_intervals_comes_from_the_training(tmp_path):
    sample.write_run(tmp_path, val=(2.2, 0.8), validation=False)
    assert read_run(tmp_path).val == SplitMetrics(Estimate(2.2), Estimate(0.8))


def test_a_running_run_shows_its_best_epoch_so_far(tmp_path):
    sample.write_unfinished(tmp_path, ["seed=1"], "running", val=(2.5, 0.7))
    with sample.held(tmp_path):
        row = read_run(tmp_path)
    assert (row.state, row.val, row.epochs, row.best_epoch) == (
        "running",
        SplitMetrics(Estimate(2.5), Estimate(0.7)),
        3,
        2,
    )
    assert (row.test, row.notes) == (SplitMetrics(), ())
    assert read_run(tmp_path).state == "killed"


@pytest.mark.parametrize("state", ["finished", "running"])
def test_a_run_whose_start_is_the_best_says_epoch_0(run, state):
    history = json.loads((run / "history.json").read_text())
    start = {"epoch": 0, "train_loss": 2.0, "val_loss": 1.9, "val_c_td": 0.9}
    sample.write(run / "history.json", history | {"best_epoch": 0, "start": start})
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["training"]["best_epoch"] = 0
    if state == "finished":
        sample.write(run / "metrics.json", metrics)
    else:
        (run / "metrics.json").unlink()
        assert read_run(run).val == SplitMetrics(Estimate(1.9), Estimate(0.9))
    row = read_run(run)
    assert (row.epochs, row.best_epoch) == (3, 0)


def test_the_losses_of_an_encoder_alone_are_no_likelihoods(run):
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(f"{config}\ntrainer: {{auxiliary: {{only: true}}}}\n")
    (run / "metrics.json").unlink()
    row = read_run(run)
    assert (row.val, row.epochs) == (SplitMetrics(), 3)
    assert row.notes == ("it trained an encoder without the outcome: it has no figures to compare",)


def test_a_history_without_a_best_epoch_takes_the_lowest_loss(run):
    content = json.loads((run / "history.json").read_text())
    content |= {"best_epoch": 9}
    content["epochs"][0]["val_loss"] = None
    sample.write(run / "history.json", content)
    (run / "metrics.json").unlink()
    row = read_run(run)
    assert row.val.nll == Estimate(2.2)
    assert row.notes == ("metrics.json is missing",)


def test_a_run_that_failed_before_training_has_no_figures_and_needs_none(tmp_path):
    sample.write_unfinished(tmp_path, ["seed=1"], "failed", "CohortError: no subject is left", epochs=0)
    row = read_run(tmp_path)
    assert (row.state, row.record.sentence) == ("failed", "CohortError: no subject is left")
    assert (row.val, row.test, row.epochs, row.seconds, row.notes) == (SplitMetrics(), SplitMetrics(), None, None, ())


BROKEN = {
    "empty": b"",
    "cut": b'{"state": "finished", "test": {"rows": [{"na',
    "binary": b"\xff\xfe\x00",
    "list": b"[1, 2]",
    "number": b"5",
    "wrong types": b'{"state": 5, "sentence": [], "overrides": [1, {"a": 2}], "started": 3, "ended": null, "test": '
    b'{"rows": [1, {"role": "model", "c_td": {"value": "high", "interval": 3}, "nll": true}], "subjects": "many"}, '
    b'"training": [], "validation": {"nll": 3}, "epochs": [1, {"val_loss": "x"}], "usage": {"seconds": "long"}}',
    "nan": b'{"state": "finished", "sentence": "", "overrides": [], "started": "", "ended": "", "test": {"rows": '
    b'[{"role": "model", "c_td": {"value": NaN}, "nll": {"value": Infinity}}]}, "training": {"val_loss": NaN}, '
    b'"epochs": [{"epoch": 1, "val_loss": NaN}], "usage": {"seconds": NaN, "cost": 1e999}, "parameters": 1e400}',
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("name", FILES)
def test_a_broken_file_is_a_note_or_a_dash_and_never_an_error(run, name, content):
    (run / name).write_bytes(content)
    row = read_run(run)
    assert row.state == "finished"
    broken = {BROKEN[kind] for kind in ("cut", "binary", "deep")}
    assert any(name in note for note in row.notes) or content not in broken
    for estimate in (row.val.nll, row.val.c_td, row.test.nll, row.test.c_td):
        assert estimate is None or math.isfinite(estimate.value)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_of_a_finished_run_is_a_note(run, name):
    (run / name).unlink()
    assert any(name in note for note in read_run(run).notes)


def test_a_folder_in_place_of_a_file_is_a_note(run):
    (run / "history.json").unlink()
    (run / "history.json").mkdir()
    assert any("history.json can't be read: IsADirectoryError" in note for note in read_run(run).notes)


def test_a_run_of_an_older_version_is_finished_if_its_page_is_there(run):
    sample.write(run / "manifest.json", {"command": "survlstm train", "started": "2026-01-01", "ended": "2026-01-02"})
    row = read_run(run)
    assert (row.state, row.overrides, row.record.started) == ("finished", None, "2026-01-01")
    assert row.notes[0].startswith("manifest.json can't be read: KeyError")
    (run / "report.html").unlink()
    assert read_run(run).state == "unknown"


def test_overrides_that_are_none_are_left_out_and_noted(run):
    sample.write(run / "manifest.json", sample.manifest(["seed=1", 7, "words"]))
    row = read_run(run)
    assert row.overrides == {"seed": 1}
    assert row.notes == ("manifest.json names overrides that can't be read",)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("model.dropout=0.1", ("model.dropout", 0.1)),
        ("model.hidden_dim=256", ("model.hidden_dim", 256)),
        ("optimizer.weight_decay=1e-05", ("optimizer.weight_decay", 1e-5)),
        ("+new.key=a", ("new.key", "a")),
        ("++new.key=a=b", ("new.key", "a=b")),
        ("~data.path", ("data.path", "deleted")),
        ("data.path=/a b/c,d=e/ü", ("data.path", "/a b/c,d=e/ü")),
        ("data.path='a, b'", ("data.path", "a, b")),
        ('name="1"', ("name", "1")),
        ("x=[2,5]", ("x", "[2,5]")),
        ("x=nan", ("x", "nan")),
        ("x=inf", ("x", "inf")),
        ("x=True", ("x", "true")),
        ("x=null", ("x", "null")),
        ("x=", ("x", "")),
    ],
)
def test_overrides_are_keys_and_values(line, expected):
    key, value = parse_override(line)
    assert (key, value) == expected
    assert type(value) is type(expected[1])


def test_a_lone_quote_is_kept():
    assert parse_value("'") == "'"


def test_runs_are_found_in_nested_folders_job_2_before_job_10(tmp_path):
    for name in ("10", "2", "2026-11-22/20-25/0", "a²/1"):
        sample.write_run(tmp_path / name)
    # Inside a run nothing is looked for; evaluations, hidden folders and others are none.
    sample.write(tmp_path / "2" / "again" / "manifest.json", {})
    sample.write(tmp_path / ".summary.x" / "manifest.json", {})
    sample.write(tmp_path / "judged" / "manifest.json", {})
    (tmp_path / "judged" / "evaluation.log").touch()
    (tmp_path / "figures").mkdir()
    (tmp_path / "early").mkdir()
    (tmp_path / "early" / "training.log").touch()
    found = [path.relative_to(tmp_path).as_posix() for path in find_runs(tmp_path)]
    assert found == ["2", "10", "2026-11-22/20-25/0", "a²/1", "early"]


def test_a_folder_that_is_not_there_holds_no_run(tmp_path):
    assert find_runs(tmp_path / "nowhere") == []


def test_real_runs_are_read(survlstm, tmp_path):
    words = ["experiment=smoke", "evaluation.baselines=[]", "evaluation.landmarks.visits=[]", "trainer.epochs=1"]
    assert survlstm("train", "-m", *words, "model.dropout=0.1,0.3", "output_dir=sweep") == 0
    runs = find_runs(Path("sweep"))
    assert [path.name for path in runs] == ["model.dropout=0.1", "model.dropout=0.3"]
    rows = [read_run(path) for path in runs]
    for row, dropout in zip(rows, (0.1, 0.3), strict=True):
        assert (row.state, row.epochs, row.best_epoch) == ("finished", 1, 1)
        assert row.overrides["model.dropout"] == row.config["model.dropout"] == dropout
        assert row.notes == ()
        assert None not in (row.val.nll, row.val.c_td, row.test.nll, row.test.c_td, row.seconds, row.baseline)
