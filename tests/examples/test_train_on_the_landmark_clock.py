"""``survlstm train clock=landmark`` as a person types it."""

import json

import pytest
import torch

SMOKE = ["train", "experiment=smoke", "clock=landmark", "evaluation.baselines=[]"]
RUN = [*SMOKE, "data.simulated.patients=250", "evaluation.resamples=100", "output_dir=run"]


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["clock.visit=null", "clock.day=2000", "clock.horizon_days=3650", "clock.edges=equidistant"],
        [
            "clock.visit=5",
            "clock.intervals=4",
            "data.max_visits=4",
            "outcome=first_code",
            "outcome.codes=[SNOMED/162864005]",
        ],
    ],
    ids=["default", "day", "visit"],
)
def test_a_model_of_the_landmark_clock_is_trained_and_judged(survlstm, tmp_path, words):
    assert survlstm(*RUN, *words) == 0
    best = torch.load(tmp_path / "run" / "checkpoints" / "best.pt", weights_only=True)
    intervals = best["about"]["config"]["clock"]["intervals"]
    assert best["model"]["head.3.bias"].shape == (intervals,)
    assert len(best["about"]["mean_hazard"]) == len(best["about"]["fitted"]["edge_days"]) - 1 == intervals
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    reasons = {rule["reason"] for rule in metrics["data"]["subjects_excluded"]}
    assert "event or end of follow-up at or before the landmark" in reasons
    assert "behind the landmark" in metrics["data"]["visits_left_out"]


def test_a_landmark_that_nobody_reaches_is_told(survlstm, capsys):
    assert survlstm(*RUN, "clock.visit=100000") == 4
    assert "CohortError: at least one subject must take part; found none of" in capsys.readouterr().out
