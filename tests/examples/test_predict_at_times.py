"""A run of the days clock as it is typed: train, export, predict at the last visit, on a day and at a file's times."""

import json

import numpy as np
import pandas as pd
import pytest

from survlstm.data.sources.simulated import simulated_cohort
from tests.examples.conftest import COHORT, run_all

TRAIN = ["train", "data=tiny", "trainer=smoke", "outcome=death", "clock=days", "output_dir=run"]
LITTLE = ["clock.times=[every_visit,every_days:365]", "evaluation.baselines=[]", "evaluation.groups=[]"]


@pytest.mark.slow
def test_a_run_on_the_days_clock_predicts_at_the_times_that_are_asked(tmp_path, shared_cache, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    export = simulated_cohort(shared_cache, **COHORT)
    words = ["bundle=b.zip", f"data.path={export}"]
    run_all(
        tmp_path,
        shared_cache,
        [*TRAIN, *LITTLE, "evaluation.resamples=100"],
        ["export", "run=run", "output=b.zip", "format=onnx"],
        ["predict", *words, "as_of=last", "output=last.parquet"],
        ["predict", *words, "as_of=2019-06-30", "output=day.csv"],
        ["predict", *words, "per_visit=true", "output=visits.parquet"],
    )
    last, day, visits = pd.read_parquet("last.parquet"), pd.read_csv("day.csv"), pd.read_parquet("visits.parquet")
    assert (last["prediction_time"] == last["history_end"]).all()
    assert set(day["prediction_time"]) == {"2019-06-30T23:59:59Z"}
    assert (day["history_age_days"] >= 0).all()
    assert visits["visit"].min() == 2
    told = json.loads((tmp_path / "visits.json").read_text())
    assert (told["rows_scored"], told["unit"]) == (len(visits), "days after the prediction time")
    assert set(last.columns) - set(told["columns"]) == {
        "subject_id",
        "visits",
        *(name for name in last if name.startswith("survival_")),
    }
    # The rows of the run are predicted as in its evaluation.
    own = pd.read_parquet("run/predictions.parquet")
    assert set(own["subject_id"].astype(str)) <= set(visits["subject_id"])

    asked = [(name, time) for name in last["subject_id"][:9] for time in ("2016-01-01", "1900-01-01", "2019-06-30")]
    asked += [("nobody", "2016-01-01"), asked[0], ("", "2016-01-01")]
    pd.DataFrame(asked, columns=["subject_id", "prediction_time"]).to_csv("times.csv", index=False)
    capsys.readouterr()
    run_all(
        tmp_path,
        shared_cache,
        ["predict", *words, "as_of=times.csv", "subjects_at_once=7", "output=times.parquet"],
        ["plot", "survival", *words, "as_of=last", "output=plots"],
    )
    said = capsys.readouterr().out
    assert said.count("prediction times of subjects that are not among the records: 1") == 1
    assert said.count("repeat another one of the same subject and are predicted once: 1") == 1
    times, left_out = pd.read_parquet("times.parquet"), pd.read_csv("times.not_scored.csv")
    assert len(times) + len(left_out) == 28
    assert list(left_out.columns) == ["subject_id", "prediction_time", "reason"]
    both = times.merge(day, on="subject_id")
    both = both[both["prediction_time_x"] == "2019-06-30 23:59:59"]
    assert len(both) > 3
    np.testing.assert_allclose(both["risk_x"], both["risk_y"], atol=1e-6)
    assert "days after the prediction time" in (tmp_path / "plots" / "survival.html").read_text()
