"""What a run says about its model: every baseline, both clocks, and the oracle that nobody beats."""

import json

import pytest
import torch

BASELINES = {"record length", "logistic hazard (history)", "gradient-boosted hazard"}
AT_LANDMARKS = {"Cox (elastic net)", "pycox LogisticHazard", "DeepHit"}


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def test_every_baseline_stands_beside_the_model_on_the_visit_clock(survlstm, tmp_path, capsys):
    words = ["data.simulated.patients=250", "output_dir=run"]
    landmarks = ["evaluation.landmarks.visits=[2,5]", "evaluation.landmarks.days=[365]", "evaluation.resamples=100"]
    assert survlstm("train", "experiment=smoke", *words, *landmarks) == 0
    test = metrics_of(tmp_path / "run")["test"]
    everywhere = {"model", "oracle", "covariate-free hazard"} | BASELINES
    assert {row["name"] for row in test["rows"]} == everywhere
    assert [landmark["name"] for landmark in test["landmarks"]] == ["visit 2", "visit 5", "day 365"]
    for landmark in test["landmarks"]:
        assert {row["name"] for row in landmark["rows"]} == everywhere | AT_LANDMARKS
        assert landmark["at_risk"] >= landmark["at_risk_after"][0] >= landmark["at_risk_after"][-1]
    (length,) = [row for row in test["rows"] if row["name"] == "record length"]
    assert length["c_td"]["value"] == 0.5
    shown = capsys.readouterr().out
    assert "From visit 5:" in shown
    assert test["lines"][0] in shown


def test_a_landmark_run_is_judged_in_days_and_evaluated_again(survlstm, tmp_path):
    words = ["clock=landmark", "data.simulated.patients=250", "evaluation.resamples=100", "output_dir=run"]
    assert survlstm("train", "experiment=smoke", *words) == 0
    test = metrics_of(tmp_path / "run")["test"]
    assert test["clock"] == "landmark"
    assert {row["name"] for row in test["rows"]} == {"model", "covariate-free hazard"} | BASELINES | AT_LANDMARKS
    (landmark,) = test["landmarks"]
    assert landmark["unit"] == "days"
    assert landmark["at_risk"] == test["subjects"]
    assert survlstm("evaluate", "run=run", "output_dir=again") == 0
    assert metrics_of(tmp_path / "again")["test"] == test


def test_canary_6_no_model_beats_the_hazards_that_drew_the_outcome(survlstm, tmp_path):
    words = ["data=tiny", "data.simulated.patients=1000", "trainer.epochs=5", "output_dir=run"]
    assert survlstm("train", *words, "evaluation.baselines=[]", "evaluation.resamples=100") == 0
    test = metrics_of(tmp_path / "run")["test"]
    decided = 0
    for landmark in test["landmarks"]:
        rows = {row["name"]: row for row in landmark["rows"]}
        difference = rows["oracle"]["ibs_difference"]
        if difference is not None:
            decided += 1
            # The model's ibs minus the oracle's: wholly below 0 would be a model that knows more than there is.
            assert difference["interval"]["high"] >= 0
        assert rows["oracle"]["ibs"]["value"] < rows["covariate-free hazard"]["ibs"]["value"]
    assert decided >= 2
    (oracle,) = [row for row in test["rows"] if row["role"] == "oracle"]
    assert oracle["nll_difference"]["interval"]["high"] >= 0


def test_a_loss_that_is_not_finite_is_a_finding_with_advice(survlstm, tmp_path, capsys):
    words = ["optimizer.lr=1e30", "trainer.grad_clip=null", "output_dir=run", "evaluation.baselines=[]"]
    assert survlstm("train", "experiment=smoke", *words) == 6
    (finding,) = metrics_of(tmp_path / "run")["diagnostics"]
    assert finding["level"] == "failure"
    assert finding["advice"] == ["optimizer.lr=1e+29", "trainer.grad_clip=1"]
    assert "try:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["evaluation.landmarks.horizons=[]"], 2, "evaluation.landmarks.horizons"),
        (["evaluation.landmarks.visits=[5,5]"], 2, "must name each value once; found [5, 5]"),
        (["evaluation.landmarks.visits=[-1]"], 2, "evaluation.landmarks.visits.0"),
        (["evaluation.baselines=[coxx]"], 2, "evaluation.baselines.0: must be 'record_length'"),
        (["evaluation.baselines=[cox,cox]"], 2, "must name each baseline once"),
    ],
)
def test_a_wrong_evaluation_is_told_before_anything_starts(survlstm, tmp_path, capsys, *, words, code, sentence):
    assert survlstm("train", "experiment=smoke", *words) == code
    assert sentence in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_horizons_behind_the_follow_up_are_named_not_guessed(survlstm, tmp_path):
    words = ["evaluation.landmarks.horizons=[1,5000]", "evaluation.baselines=[]", "output_dir=run"]
    assert survlstm("train", "experiment=smoke", *words) == 0
    found = metrics_of(tmp_path / "run")
    for landmark in found["test"]["landmarks"]:
        assert 5000 in landmark["unsupported"]
        assert 5000 not in landmark["horizons"]
    (finding,) = [one for one in found["diagnostics"] if "horizon" in one["check"]]
    assert finding["level"] != "ok"


def test_a_baseline_that_cannot_be_computed_does_not_cost_the_verdict(survlstm, tmp_path):
    words = [
        "evaluation.landmarks.visits=[0]",
        "evaluation.landmarks.horizons=[2000]",
        "evaluation.baselines=[deephit]",
    ]
    assert survlstm("train", "experiment=smoke", *words, "output_dir=run") == 0
    (landmark,) = metrics_of(tmp_path / "run")["test"]["landmarks"]
    assert any(note.startswith("no DeepHit:") for note in landmark["notes"])


def test_the_checkpoint_says_what_preparation_fitted(survlstm, tmp_path):
    bare = ["evaluation.baselines=[]", "evaluation.landmarks.visits=[]", "evaluation.resamples=100"]
    assert survlstm("train", "experiment=smoke", *bare, "output_dir=run") == 0
    about = torch.load(tmp_path / "run" / "checkpoints" / "best.pt", weights_only=True)["about"]
    assert set(about) == {"config", "fitted", "mean_hazard", "data_fingerprint", "code"}
    assert about["fitted"]["vocabulary"][:2] == ["[PAD]", "[UNK]"]
