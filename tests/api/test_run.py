"""A run object: its tables, what it shows by itself, and what it says where something is missing."""

import html
import json
import shutil
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib import pyplot
from matplotlib.figure import Figure

import survlstm
from survlstm.report.console_summary import to_json
from survlstm.report.value_table import COLUMNS
from tests.report.sample import bare_verdict, visit_verdict


@pytest.fixture
def copied(page, tmp_path):
    """A copy of the run, to take files from."""
    return survlstm.load_run(shutil.copytree(page["run"].folder, tmp_path / "<run> & more"))


@pytest.fixture
def large(copied):
    """The run with the evaluation of a large cohort, which has intervals and calibration."""
    return with_evaluation(copied, visit_verdict())


def with_evaluation(run, summary):
    """The run with another evaluation in metrics.json; a value that is not finite is null there."""
    path = run.folder / "metrics.json"
    content = json.loads(path.read_text()) | {"test": to_json(summary)}
    text = json.dumps(content).replace("NaN", "null").replace("Infinity", "null")
    path.write_text(text)
    return run


def test_metrics_have_one_row_per_model_with_intervals_and_differences(large):
    found = large.metrics
    assert found.index.tolist()[:2] == ["model", "oracle"]
    assert found.loc["model", ["c_td", "c_td_low", "c_td_high"]].tolist() == [0.732, 0.684, 0.78]
    assert found.loc["oracle", ["c_td_difference", "c_td_difference_low", "c_td_difference_p"]].tolist() == [
        -0.049,
        -0.099,
        0.002,
    ]
    assert np.isnan(found.loc["covariate-free hazard", "c_td_low"])


def test_landmarks_have_one_row_per_horizon_and_model(large):
    found = large.landmarks
    assert found.groupby("landmark", sort=False)["horizon"].unique().map(list).tolist() == [
        [1, 5, 10, 20],
        [1, 5, 10, 20],
        [1, 5, 10],
    ]
    model = found[(found["name"] == "model") & (found["landmark"] == "visit 3")]
    assert model["auc"].tolist() == [0.74, 0.72, 0.7, 0.68]
    assert model["ibs"].unique().tolist() == [0.151]


def test_groups_have_one_row_each_and_small_ones_no_figure(large):
    found = large.groups.set_index(["kind", "name"])
    row = found.loc[("sex", "F")]
    assert row[["subjects", "events", "at_risk"]].tolist() == [90, 41, 80]
    assert row[["c_td", "c_td_low", "c_td_high"]].tolist() == [0.7412, 0.67, 0.81]
    assert row[["predicted", "observed", "observed_low", "observed_high"]].tolist() == [0.412, 0.431, 0.33, 0.55]
    assert row[["landmark", "horizon", "unit"]].tolist() == ["visit 3", 20.0, "steps"]
    pooled = found.loc[("race", "fewer than 10 subjects")]
    assert pooled["subjects"] == 7
    assert pooled[["events", "c_td", "at_risk", "predicted", "observed"]].isna().all()


def test_a_run_without_values_has_an_empty_table(page):
    assert page["run"].values.empty
    assert list(page["run"].values.columns) == list(COLUMNS)
    assert page["prepared"].values.empty
    assert not (page["run"].folder / "values.csv").exists()


@pytest.mark.parametrize("stored", ["nothing", "null"])
def test_an_evaluation_without_groups_has_an_empty_table(copied, stored):
    path = copied.folder / "metrics.json"
    content = json.loads(path.read_text())
    content["test"]["groups"] = None
    if stored == "nothing":
        del content["test"]["groups"]
    path.write_text(json.dumps(content))
    assert copied.groups.empty
    assert {"kind", "name", "c_td", "observed"} <= set(copied.groups.columns)


def test_a_run_without_landmarks_and_events_has_tables_too(copied):
    run = with_evaluation(copied, bare_verdict())
    assert run.landmarks.empty
    assert np.isnan(run.metrics.loc["model", "c_td"])
    assert "C-index nan on 9 test subjects with 0 events" in repr(run)
    with pytest.raises(survlstm.SurvlstmError, match="three subjects at risk at a landmark"):
        run.plot.survival()
    with pytest.raises(survlstm.SurvlstmError, match="needs groups of subjects: there is no landmark"):
        run.plot.calibration()


def test_history_predictions_and_exclusions_are_those_of_the_files(page):
    run = page["run"]
    assert run.history.index.tolist() == [1, 2, 3]
    assert run.history["is_best"].sum() == 1
    assert set(run.predictions.columns) >= {"subject_id", "step", "hazard", "survival"}
    assert run.exclusions.groupby("counted")["number"].sum()["visits"] > 0
    assert run.exclusions.equals(page["prepared"].exclusions)


def test_the_model_has_the_weights_of_the_best_epoch(page):
    run = page["run"]
    best = torch.load(run.folder / "checkpoints" / "best.pt", weights_only=True)["model"]
    assert not run.model.training
    assert all(torch.equal(weight, best[name]) for name, weight in run.model.state_dict().items())
    assert "hidden_dim: 16" in run.config_yaml


def test_a_run_is_short_and_shows_no_id(page, large):
    for shown in (page["run"], large, page["on_validation"], page["comparison"], page["prepared"], page["predictor"]):
        text, markup = repr(shown), shown._repr_html_()
        assert len(text) < 1000
        assert not any(one in text + markup for one in page["prepared"].subjects.index)
    assert max(len(repr(page["run"]).splitlines()), len(repr(large).splitlines())) <= 3
    for value in (page["predictor"].bundle, page["prepared"].data, page["prepared"].vocabulary, page["run"]._finished):
        assert len(repr(value)) < 300


def test_the_html_of_a_run_is_escaped_and_draws_the_losses(large):
    markup = large._repr_html_()
    assert html.escape(str(large.folder)) in markup
    assert "<run>" not in markup
    assert "SYNTHETIC OUTCOME" in markup
    assert html.escape("Test C-index 0.732 (95% interval 0.684 to 0.779)") in markup
    assert "0.732 (0.684 to 0.780)" in markup
    page = ElementTree.fromstring(markup)
    assert [item.tag for item in page.iter("script")] == []
    assert markup.count('<img alt="Loss by epoch" src="data:image/svg+xml;base64,') == 1


def test_figures_are_axes_and_leave_pyplot_alone(large):
    before = dict(matplotlib.rcParams)
    survival, calibration, history = large.plot.survival(), large.plot.calibration(), large.plot.history()
    assert [axes.get_ylabel() for axes in (survival, calibration, history)] == [
        "probability of no event",
        "observed risk",
        "loss (nats per subject)",
    ]
    assert calibration.get_xlabel() == "predicted risk by 20 steps"
    assert large.plot.calibration("visit 10", horizon=5).get_xlabel() == "predicted risk by 5 steps"
    figure = Figure()
    mine = figure.add_subplot()
    assert large.plot.survival("visit 5", ax=mine) is mine
    assert mine.get_title() == "from visit 5"
    assert len(mine.get_legend().get_texts()) == 6
    assert dict(matplotlib.rcParams) == before
    assert not pyplot.get_fignums()


def test_a_landmark_or_horizon_that_is_not_there_is_named(large):
    with pytest.raises(
        survlstm.SurvlstmError, match="landmark must be one of visit 3, visit 5, visit 10; found 'visit 4'"
    ):
        large.plot.survival("visit 4")
    with pytest.raises(survlstm.SurvlstmError, match="horizon must be one of 1, 5, 20; found '7'"):
        large.plot.calibration(horizon=7)


def test_what_an_unfinished_run_lacks_is_said_when_it_is_asked_for(copied):
    for name in ("metrics.json", "report.html", "history.json", "predictions.parquet"):
        (copied.folder / name).unlink()
    shutil.rmtree(copied.folder / "checkpoints")
    run = survlstm.load_run(str(copied.folder))
    assert run.config.model.hidden_dim == 16
    assert repr(run).startswith("<Run ")
    assert "must hold metrics.json" in run._repr_html_()
    for ask, said in {
        "metrics": "must hold metrics.json; found none",
        "predictions": "must hold predictions.parquet",
        "history": "valid history.json",
        "model": "must hold checkpoints/best.pt",
    }.items():
        with pytest.raises(survlstm.SurvlstmError, match=said):
            getattr(run, ask)
    with pytest.raises(survlstm.SurvlstmError, match=r"must hold report.html; found none in .* Let the run end"):
        run.report()


@pytest.mark.parametrize("content", ["[]", "{}", '{"test": 3}', '{"test": {"rows": [{"name": "m"}]}}', "{", '"x"'])
def test_another_metrics_file_is_one_sentence(copied, content):
    (copied.folder / "metrics.json").write_text(content)
    with pytest.raises(survlstm.SurvlstmError, match=r"metrics\.json must be as survlstm writes it"):
        copied.metrics  # noqa: B018
    assert repr(copied).startswith("<Run ")
    assert "as survlstm writes it" in copied._repr_html_()


@pytest.mark.parametrize(
    ("part", "key", "value", "figure"),
    [
        ("curves", "group_survival", [[0.5]], "survival"),
        ("curves", "group_at_risk", [1], "survival"),
        ("curves", "time", ["soon"], "survival"),
        ("curves", "unit", "years", "survival"),
        ("landmarks", "unit", "<b>", "calibration"),
        ("landmarks", "calibration", [{"horizon": 1}], "calibration"),
    ],
)
def test_damaged_curves_are_one_sentence(large, part, key, value, figure):
    path = large.folder / "metrics.json"
    content = json.loads(path.read_text())
    content["test"][part][0][key] = value
    path.write_text(json.dumps(content))
    with pytest.raises(survlstm.SurvlstmError, match=r"metrics\.json must be as survlstm writes it"):
        getattr(large.plot, figure)()


def test_a_run_that_failed_before_its_evaluation_says_why(copied):
    path = copied.folder / "metrics.json"
    content = json.loads(path.read_text())
    finding = {"check": "loss", "level": "failure", "finding": "The loss was not finite.", "evidence": "", "advice": []}
    path.write_text(json.dumps({"task": content["task"], "data": content["data"], "diagnostics": [finding]}))
    with pytest.raises(survlstm.SurvlstmError, match=r"holds no evaluation: The loss was not finite\."):
        copied.metrics  # noqa: B018
    assert len(copied.exclusions) > 3


def test_a_folder_of_something_else_is_refused(page, tmp_path):
    with pytest.raises(survlstm.SurvlstmError, match="found no folder"):
        survlstm.load_run(tmp_path / "nothing")
    with pytest.raises(survlstm.SurvlstmError, match=r"must hold config\.yaml"):
        survlstm.load_run(tmp_path)
    with pytest.raises(survlstm.SurvlstmError, match=r"that of an evaluation. Use survlstm.load_evaluation"):
        survlstm.load_run(page["on_validation"].folder)
    with pytest.raises(survlstm.SurvlstmError, match=r"is not. Use survlstm.load_run"):
        survlstm.load_evaluation(page["run"].folder)
    (tmp_path / "sweep.json").write_text("{}")
    with pytest.raises(survlstm.SurvlstmError, match="holds a sweep"):
        survlstm.load_run(tmp_path)
