"""``survlstm evaluate`` and ``survlstm compare`` as a person types them."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from survlstm.report.task import BANNER
from survlstm.training.checkpoint import load_checkpoint, write_checkpoint
from tests.examples.conftest import run_all

BARE = ["evaluation.baselines=[]", "evaluation.landmarks.visits=[5]", "evaluation.resamples=100"]
SMALL = ["experiment=smoke", "data.simulated.patients=250", *BARE]


@pytest.fixture(scope="module")
def runs(tmp_path_factory, shared_cache):
    """Two runs on one cohort, the first one with a baseline, and one on another outcome."""
    folder = tmp_path_factory.mktemp("runs")
    more = {
        "a": ["evaluation.baselines=[logistic_hazard]"],
        "b": ["model.hidden_dim=4", "trainer.epochs=1"],
        "c": ["outcome.seed=7"],
    }
    commands = [["train", *SMALL, *words, f"output_dir={folder / name}"] for name, words in more.items()]
    run_all(folder, shared_cache, *commands)
    return folder


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def test_evaluating_a_run_again_gives_its_verdict(survlstm, runs, tmp_path, capsys):
    name = "a, [second] = time"
    assert survlstm("evaluate", f"run={runs / 'a'}", f"output_dir={name}") == 0
    again, before = metrics_of(tmp_path / name), metrics_of(runs / "a")
    assert again["test"] == before["test"]
    assert (tmp_path / name / "report.html").stat().st_size > 10_000
    # By its fingerprint, without a look at the export.
    assert "Prepared data:" not in capsys.readouterr().out
    assert (
        again["task"]
        == before["task"]
        == {
            "outcome": "synthetic (drawn by a formula)",
            "data": "250 simulated patients",
            "banner": BANNER,
        }
    )
    page = (tmp_path / name / "report.html").read_text()
    title = "a, evaluated on its test split: outcome synthetic (drawn by a formula), 250 simulated patients"
    assert f"<title>{title}</title>" in page
    log = (tmp_path / name / "evaluation.log").read_text()
    assert "Evaluation complete!" in log


def test_another_split_and_other_landmarks(survlstm, runs, tmp_path):
    words = ["split=val", "evaluation=default", "evaluation.baselines=[]", "evaluation.landmarks.visits=[3]"]
    assert survlstm("evaluate", f"run={runs / 'a'}", "output_dir=val", *words) == 0
    val = metrics_of(tmp_path / "val")["val"]
    assert val["split"] == "val"
    assert [landmark["name"] for landmark in val["landmarks"]] == ["visit 3"]
    assert {row["name"] for row in val["rows"]} == {"model", "oracle", "covariate-free hazard"}


def test_another_cohort_is_judged_as_a_whole_and_its_unknown_codes_counted(survlstm, runs, tmp_path, capsys):
    words = ["data=tiny", "data.simulated.seed=99", "data.simulated.patients=120", "data.visits.grouping=same_day"]
    assert survlstm("evaluate", f"run={runs / 'b'}", "output_dir=other", *words) == 0
    found = metrics_of(tmp_path / "other")
    assert found["test"]["subjects"] == found["data"]["subjects_used"] > 90
    assert found["data"]["codes_unknown"]["codes"] > 0
    shown = capsys.readouterr().out
    assert re.search(r"unknown to it: entries [1-9]\d*; codes [1-9]", shown)
    # Another way to make visits would be another clock.
    assert "(hybrid)" in shown
    assert "max_codes_per_visit are those of the run" in shown


def test_an_export_is_judged_as_in_train_without_a_group(survlstm, runs, tmp_path, shared_cache, capsys):
    export = tmp_path / "an export = mine"
    shutil.copytree(next(shared_cache.glob("cohorts/250-*")), export)
    assert survlstm("evaluate", f"run={runs / 'b'}", "output_dir=other", f"data.path={export}") == 0
    assert metrics_of(tmp_path / "other")["test"]["subjects"] == metrics_of(runs / "b")["test"]["subjects"]
    assert f"{export}: " in capsys.readouterr().out


def test_the_runs_own_cohort_named_again_leaves_its_training_subjects_out(survlstm, runs, tmp_path):
    words = ["data=tiny", "data.simulated.patients=250"]
    assert survlstm("evaluate", f"run={runs / 'b'}", "output_dir=same", *words) == 0
    found = metrics_of(tmp_path / "same")
    assert found["test"]["subjects"] == metrics_of(runs / "b")["test"]["subjects"] == found["data"]["subjects_used"]
    excluded = found["data"]["subjects_excluded"]
    assert found["data"]["subjects_read"] == found["data"]["subjects_used"] + sum(rule["subjects"] for rule in excluded)
    assert "trained or tuned" in excluded[-1]["reason"]


def test_a_run_of_before_with_five_features_is_evaluated_and_exported(survlstm, runs, tmp_path):
    shutil.copytree(runs / "b", tmp_path / "earlier")
    path = tmp_path / "earlier" / "checkpoints" / "best.pt"
    best = load_checkpoint(path)
    fitted = best["about"]["fitted"]
    fitted |= {name: fitted[name][:5] for name in ("feature_mean", "feature_spread")}
    # Data that this survlstm has not prepared.
    best["about"]["data_fingerprint"] = "of before"
    write_checkpoint(path, best)
    assert survlstm("evaluate", "run=earlier", "output_dir=again") == 0
    assert metrics_of(tmp_path / "again")["test"] == metrics_of(runs / "b")["test"]
    words = ["data=tiny", "data.simulated.seed=99", "data.simulated.patients=120", "evaluation=default", *BARE]
    for run, folder in (("earlier", "one"), (str(runs / "b"), "two")):
        assert survlstm("evaluate", f"run={run}", f"output_dir={folder}", *words) == 0
    assert metrics_of(tmp_path / "one")["test"] == metrics_of(tmp_path / "two")["test"]
    assert survlstm("export", "run=earlier", "output=bundle") == 0
    preprocessing = tmp_path / "bundle" / "preprocessing.json"
    assert json.loads(preprocessing.read_text())["feature_spread"][5:] == [0.0] * 5
    assert (
        survlstm("explain", "run=earlier", "output=explained", "subjects_at_most=5", "resamples=100", "shuffles=1") == 0
    )


def test_comparing_runs_prints_and_writes_the_table(survlstm, runs, tmp_path, capsys):
    assert survlstm("compare", str(runs / "a"), str(runs / "b"), "output=a=b, [c]") == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"WARNING: {BANNER}")
    assert "difference (best \N{MINUS SIGN} run)" in shown
    table = pd.read_csv(tmp_path / "a=b, [c]" / "comparison.csv")
    assert set(table["run"]) == {"a", "b"}
    written = json.loads((tmp_path / "a=b, [c]" / "comparison.json").read_text())
    values = [row["c_td"]["value"] for row in written["rows"]]
    assert values == sorted(values, reverse=True)
    by_name = {row["name"]: row for row in written["rows"]}
    for name in ("a", "b"):
        (model,) = [row for row in metrics_of(runs / name)["test"]["rows"] if row["role"] == "model"]
        assert by_name[name]["c_td"]["value"] == pytest.approx(model["c_td"]["value"], abs=1e-9)


@pytest.fixture(scope="module")
def copies(runs, tmp_path_factory):
    """Copies of a run, each with something missing or torn; only read."""
    folder = tmp_path_factory.mktemp("copies")
    (folder / "empty").mkdir()
    for name, missing in (("unfinished", "checkpoints/best.pt"), ("blind", "predictions.parquet")):
        shutil.copytree(runs / "a", folder / name)
        (folder / name / missing).unlink()
    shutil.copytree(runs / "a", folder / "broken")
    (folder / "broken" / "checkpoints" / "best.pt").write_bytes(b"torn")
    for name, part in (("older", ("about", "fitted")), ("odd", ("model", "lstm.0.weight_ih_l0"))):
        shutil.copytree(runs / "a", folder / name)
        best = folder / name / "checkpoints" / "best.pt"
        checkpoint = torch.load(best, weights_only=True)
        del checkpoint[part[0]][part[1]]
        write_checkpoint(best, checkpoint)
    return folder


@pytest.fixture
def damaged(copies, tmp_path):
    """The copies under their names in the working folder."""
    for copy in copies.iterdir():
        (tmp_path / copy.name).symlink_to(copy)


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["evaluate", "run=nowhere"], 2, "a run must be the folder that survlstm train made; found no folder /"),
        (["evaluate", "run=empty"], 2, "it is not the folder of a run"),
        (["evaluate", "run=unfinished"], 7, "a finished run must hold checkpoints/best.pt"),
        (["evaluate", "run=broken"], 7, "must be a whole checkpoint"),
        (["evaluate"], 2, "run has no value and needs one; set run=VALUE"),
        (["evaluate", "run=A", "split=all"], 2, "split: must be 'train', 'val' or 'test'; found 'all'"),
        (["evaluate", "run=A", "data=tiny", "split=val"], 2, "split must be test if data names another cohort"),
        (["evaluate", "run=A", "-m"], 2, "evaluates one run"),
        (["evaluate", "run=A", "hydra.run.dir=unfinished"], 2, "output_dir must not hold a run already"),
        (["evaluate", "run=A", "evaluation.resamples=200"], 2, "needs a choice of evaluation first: add evaluation="),
        (["compare", "A"], 2, "a comparison needs at least two runs; found 1"),
        (["compare", "A", "A"], 2, "each run must be named once"),
        (["compare", "A", "nowhere"], 2, "found no folder nowhere"),
        (["compare", "A", "C"], 5, "runs must be evaluated on the same outcome to be compared"),
        (["compare", "A", "blind"], 7, "a finished run must hold predictions.parquet; found none in blind"),
        (["evaluate", "run=older"], 7, "its part about lacks fitted: an older survlstm wrote it"),
        (["evaluate", "run=odd"], 7, "the weights must be those of the config"),
        (["compare", "A", "B", "outptu=x"], 2, "outptu is not a known key; the nearest valid key is output"),
    ],
)
@pytest.mark.usefixtures("damaged")
def test_what_can_be_mended_is_told_in_a_sentence(survlstm, runs, capsys, *, words, code, sentence):
    named = {"A": runs / "a", "B": runs / "b", "C": runs / "c"}
    words = [str(named.get(word, word)) for word in words]
    words = [f"run={named[word[4:]]}" if word[:4] == "run=" and word[4:] in named else word for word in words]
    assert survlstm(*words) == code
    shown = capsys.readouterr()
    assert sentence in shown.err + shown.out
    assert "Traceback" not in shown.err


def test_a_run_is_found_and_judged_when_its_export_has_moved(survlstm, tmp_path, shared_cache):
    assert survlstm("simulate", "patients=60", "seed=5", "output=export") == 0
    words = ["data=synthea", "data.path=export", "evaluation.baselines=[]", "evaluation.landmarks.visits=[]"]
    assert survlstm("train", "experiment=smoke", *words, "output_dir=run") == 0
    (tmp_path / "export").rename(tmp_path / "moved")
    # The prepared data stand in the cache.
    assert survlstm("evaluate", "run=run", "output_dir=cached") == 0
    assert survlstm("evaluate", "run=run", "output_dir=gone", "cache_dir=empty") == 4
    log = (tmp_path / "gone" / "evaluation.log").read_text()
    assert f"so that their export must still be at {tmp_path / 'export'}" in log
    (tmp_path / "moved").rename(tmp_path / "export")
    assert survlstm("evaluate", "run=run", "output_dir=back", "cache_dir=empty") == 0
    assert metrics_of(tmp_path / "back")["test"] == metrics_of(tmp_path / "cached")["test"]


def test_predictions_hold_every_test_subject_and_step(runs):
    table = pd.read_parquet(runs / "a" / "predictions.parquet")
    test = metrics_of(runs / "a")["test"]
    labels = table.groupby("subject_id").first()
    assert len(labels) == test["subjects"]
    assert labels["event"].sum() == test["events"]
    assert (table.groupby("subject_id").size() == labels["last_step"] + 1).all()
    survival = table.groupby("subject_id")["hazard"].transform(lambda hazard: np.cumprod(1 - hazard))
    assert np.allclose(survival, table["survival"])
