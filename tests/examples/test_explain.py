"""``survlstm explain`` as a person types it, on a run whose outcome hangs on planted codes."""

import json
import re
import shutil
import sys

import numpy as np
import pandas as pd
import pytest

from survlstm.report.task import BANNER
from tests.examples.conftest import run_all

# Seen by a quarter of the subjects, and two that hardly anybody has.
PLANTED = "outcome.planted_codes=[SNOMED/162864005,SNOMED/160968000,SNOMED/0]"
BARE = ["evaluation.baselines=[]", "evaluation.landmarks.visits=[]", "evaluation.resamples=100"]
SMALL = ["experiment=smoke", "data.simulated.patients=250", *BARE]
FEW = ["shuffles=1", "resamples=100", "integration_steps=4"]


@pytest.fixture(scope="module")
def run(tmp_path_factory, shared_cache):
    """A run of seconds."""
    folder = tmp_path_factory.mktemp("runs") / "planted"
    run_all(folder.parent, shared_cache, ["train", *SMALL, PLANTED, f"output_dir={folder}"])
    return folder


@pytest.fixture
def copied(run, tmp_path):
    """The run in a folder of the test's own, which may fill its report."""
    return shutil.copytree(run, tmp_path / "run")


def test_tables_figures_page_and_report(survlstm, copied, capsys):
    before = (copied / "report.html").read_text()
    assert survlstm("explain", f"run={copied}", *FEW) == 0
    shown = capsys.readouterr().out
    found = json.loads((copied / "explanation" / "explanation.json").read_text())
    assert f"{BANNER}\n{found['headline']}" in shown
    assert found["about"]["banner"] == BANNER
    assert f'<p class="banner">{BANNER}</p>' in (copied / "explanation" / "explanation.html").read_text()
    assert found["shuffled_weights"]["sentences"][0] in shown
    assert found["about"]["subjects"] == found["about"]["members"] > 20
    assert found["planted"]["by_importance"]["occlusion"]["k"] == 2
    assert found["planted"]["by_importance"]["occlusion"]["unknown"] == ["SNOMED/0"]
    assert {"score", "effect", "importance", "occlusion"} <= set(found["conventions"])

    codes = pd.read_csv(copied / "explanation" / "codes.csv")
    assert sorted(codes["occlusion_rank"]) == list(range(1, len(codes) + 1))
    assert len(codes) == found["codes_ranked"]
    assert codes.set_index("code").loc["SNOMED/160968000", "description"] == "Risk activity involvement (finding)"
    assert codes["is_planted"].sum() == 2
    subject = pd.read_csv(copied / "explanation" / "subject.csv")
    told = found["subject"]
    assert subject["integrated_gradients"].sum() == pytest.approx(
        told["log_odds"] - told["baseline_log_odds"] + told["delta"], abs=1e-6
    )
    assert told["log_odds_after_visit"][-1] == pytest.approx(told["log_odds"], abs=1e-5)
    for name in ("explanation_codes", "explanation_subject"):
        assert {"svg", "png"} <= {path.suffix[1:] for path in (copied / "explanation" / "figures").glob(f"{name}.*")}

    page, report = ((copied / name).read_text() for name in ("explanation/explanation.html", "report.html"))
    for text in (page, report):
        assert "Risk activity involvement (finding)" in text
        assert 'id="figure-explanation_codes"' in text
    assert "://" not in page.replace("http://www.w3.org", "")
    assert '<a href="#explanation">' in report
    assert len(report) > len(before) + 10_000


def test_a_report_is_filled_as_often_as_one_likes(survlstm, copied):
    pages = []
    for _ in range(2):
        assert survlstm("explain", f"run={copied}", *FEW, "subjects_at_most=10") == 0
        pages.append((copied / "report.html").read_bytes())
    assert pages[0] == pages[1]
    assert survlstm("explain", f"run={copied}", *FEW, "subjects_at_most=10", "top=3") == 0
    fewer = (copied / "report.html").read_text()
    assert "The 3 most important codes" in fewer
    assert fewer.count('<h2 id="explanation">') == 1
    # What stood around the place stands there still.
    assert fewer.rstrip().endswith("</html>")
    assert '<h2 id="learning">' in fewer


def test_into_another_folder_the_run_stays_as_it_was(survlstm, run, tmp_path):
    before = {path: path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file()}
    words = ["output=told", "split=train", "subjects_at_most=7", "seed=3"]
    assert survlstm("explain", f"run={run}", *FEW, *words) == 0
    assert {path: path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file()} == before
    found = json.loads((tmp_path / "told" / "explanation.json").read_text())
    assert (found["about"]["split"], found["about"]["subjects"]) == ("train", 7)
    assert found["about"]["members"] > 100


def test_a_subject_that_is_asked_for(survlstm, run, tmp_path):
    assert survlstm("explain", f"run={run}", *FEW, "output=one", "subjects_at_most=2") == 0
    others = pd.read_parquet(run / "predictions.parquet")["subject_id"].astype(str).unique()
    chosen = json.loads((tmp_path / "one" / "subject.json").read_text())["subject_id"]
    asked = next(name for name in others if name != chosen)
    assert survlstm("explain", f"run={run}", *FEW, "output=two", "subjects_at_most=2", f"subject={asked}") == 0
    told = json.loads((tmp_path / "two" / "explanation.json").read_text())["subject"]
    who = json.loads((tmp_path / "two" / "subject.json").read_text())
    assert who["subject_id"] == asked
    assert told["days"][0] == 0
    assert len(told["days"]) == len(who["time"]) == len(told["log_odds_after_visit"])
    for name in ("subject.json", "subject.csv"):
        assert (tmp_path / "two" / name).stat().st_mode & 0o777 == 0o600
    # Only they hold an id or a date.
    dates = {time[:10] for time in who["time"]}
    for path in (tmp_path / "two").rglob("*.*"):
        if path.suffix != ".png" and not path.name.startswith("subject."):
            text = path.read_text()
            assert not [secret for secret in (asked, *dates) if secret in text], path
    # Its hazard is the one that the run predicted.
    predicted = pd.read_parquet(run / "predictions.parquet").query("subject_id == @asked").sort_values("step")
    hazard = 1 / (1 + np.exp(-np.array(told["log_odds_after_visit"])))
    np.testing.assert_allclose(hazard, predicted["hazard"], rtol=1e-4)


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["explain"], 2, "run has no value and needs one; set run=VALUE"),
        (["explain", "run=nowhere"], 2, "a run must be the folder that survlstm train made; found no folder"),
        (["explain", "run=R", "subject=nobody"], 2, "subject must be the id of one of the"),
        (["explain", "run=R", "output=file"], 2, "output must be a folder that can be written; found file"),
        (["explain", "run=R", "shuffles=0"], 2, "shuffles: must be greater than 0; found 0"),
        (["explain", "run=R", "spilt=val"], 2, "spilt is not a known key; the nearest valid key is split"),
    ],
)
def test_what_can_be_mended_is_told_in_a_sentence(survlstm, run, tmp_path, capsys, *, words, code, sentence):
    (tmp_path / "file").write_text("")
    assert survlstm(*(f"run={run}" if word == "run=R" else word for word in words)) == code
    shown = capsys.readouterr()
    assert sentence in shown.err + shown.out
    assert "Traceback" not in shown.err
    assert "nobody" not in shown.err + shown.out


def test_without_captum_nothing_is_read(survlstm, run, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    assert survlstm("explain", f"run={run}") == 2
    assert "survlstm explain needs captum: pip install 'survlstm[explain]'" in capsys.readouterr().out


def test_an_export_whose_texts_cannot_be_read_leaves_codes_without_descriptions(survlstm, tmp_path, capsys):
    assert survlstm("simulate", "patients=60", "seed=5", "output=export") == 0
    words = ["data=synthea", "data.path=export", "evaluation.baselines=[]", "evaluation.landmarks.visits=[]"]
    # One text of one table as Windows writes it: training reads codes, and has no use for it.
    table = tmp_path / "export" / "procedures.csv"
    table.write_bytes(re.sub(rb"\(procedure\)", "(Méniere)".encode("cp1252"), table.read_bytes(), count=1))
    assert survlstm("train", "experiment=smoke", *words, "output_dir=run") == 0
    capsys.readouterr()
    assert survlstm("explain", "run=run", *FEW) == 0
    shown = capsys.readouterr().out
    assert "some codes are shown without descriptions: procedures.csv must be UTF-8 text" in shown
    assert "Some codes stand without descriptions: procedures.csv must be UTF-8 text and isn't" in shown
    assert "Training has read the codes alone, not the texts beside them." in shown
    codes = pd.read_csv(tmp_path / "run" / "explanation" / "codes.csv")
    assert 0 < codes["description"].isna().sum() < len(codes)

    (tmp_path / "export").rename(tmp_path / "moved")
    assert survlstm("explain", "run=run", *FEW) == 0
    assert "codes are shown without descriptions" in capsys.readouterr().out
    codes = pd.read_csv(tmp_path / "run" / "explanation" / "codes.csv")
    assert codes["description"].isna().all()
    assert "Codes stand without descriptions" in (tmp_path / "run" / "report.html").read_text()


def test_on_the_landmark_clock(survlstm, tmp_path):
    words = ["clock=landmark", "clock.visit=3", "data.max_visits=3", "output_dir=run"]
    assert survlstm("train", *SMALL, *words) == 0
    assert survlstm("explain", "run=run", *FEW) == 0
    found = json.loads((tmp_path / "run" / "explanation" / "explanation.json").read_text())
    assert "log((1-S)/S)" in found["conventions"]["score"]
    assert len(found["subject"]["log_odds_after_visit"]) == 3
    assert found["subject"]["first_visit"] == 1
    assert found["planted"] is None


@pytest.mark.slow
def test_planted_codes_of_the_guides_cohort(survlstm, tmp_path):
    """As in docs/explanation.md: most of the planted codes in front, among five hundred."""
    codes = "SNOMED/162864005,SNOMED/160968000,SNOMED/5251000175109,SNOMED/40055000,SNOMED/266948004"
    words = ["data=cohort_1000", "model=lstm_medium", "trainer=cpu", "evaluation.baselines=[]", "output_dir=run"]
    assert survlstm("train", *words, f"outcome.planted_codes=[{codes}]") == 0
    assert survlstm("explain", "run=run") == 0
    found = json.loads((tmp_path / "run" / "explanation" / "explanation.json").read_text())
    for method, precision in (("integrated gradients", 0.8), ("occlusion", 0.6)):
        planted = found["planted"]["by_importance"][method]
        assert planted["precision"] >= precision
        assert planted["mean_rank"] < 12
        assert found["shuffled_weights"][method]["passes"]
