"""summarize_evaluation: the sentences for each kind of result."""

import dataclasses

import pytest

from survlstm.evaluation.c_index_interpretation import interpret_c_index
from survlstm.evaluation.results import (
    Difference,
    Estimate,
    Interval,
    LandmarkCell,
    LandmarkResult,
    LandmarkRow,
    StepRow,
)
from survlstm.evaluation.summary_text import conventions, summarize_evaluation


def difference(low, high):
    return None if low is None else Difference((low + high) / 2, Interval(low, high), 0.04)


def row(name, role, c_td, nll, *, low=None, high=None):
    interval = Interval(c_td - 0.05, c_td + 0.05) if low is not None or role == "model" else None
    return StepRow(name, role, Estimate(c_td, interval), Estimate(nll), difference(low, high), None)


def landmark(name, *, low, high=0.2):
    cells = [(LandmarkCell(5.0, Estimate(c), None, None, None, None, 0.5),) for c in (0.7, 0.6, 0.65)]
    return LandmarkResult(
        name=name,
        unit="steps",
        at_risk=80,
        events=40,
        follow_up=5.0,
        longest=20.0,
        horizons=(5.0,),
        at_risk_after=(30,),
        events_by=(40,),
        unsupported=(),
        rows=(
            LandmarkRow("model", "model", cells[0], None, None, None, None),
            LandmarkRow("covariate-free hazard", "baseline", cells[1], None, None, None, difference(0.1, 0.3)),
            LandmarkRow("Cox", "baseline", cells[2], None, None, None, difference(low, high)),
        ),
        calibration=(),
        notes=(),
    )


SETTINGS = {"split": "test", "events": 60, "min_events": 30, "confidence": 0.95}


def test_a_model_that_beats_the_best_baseline():
    rows = [
        row("model", "model", 0.78, 2.0),
        row("oracle", "oracle", 0.83, 1.9, low=-0.1, high=0.0),
        row("covariate-free hazard", "baseline", 0.5, 2.6, low=0.2, high=0.3),
        row("logistic hazard", "baseline", 0.72, 2.2, low=0.02, high=0.1),
    ]
    lines = summarize_evaluation(rows, [landmark("visit 2", low=0.01)], **SETTINGS)
    assert lines == (
        "The model beats the best baseline: C-index 0.780 against 0.720 of logistic hazard.",
        "C-index 0.780 (95% interval 0.730 to 0.830): good discrimination; a C-index alone is no ground for action.",
        "Model minus best baseline: +0.060 (+0.020 to +0.100, p = 0.040).",
        "Ranks better than every baseline at: visit 2.",
    )


def test_a_model_that_does_not_is_said_not_to_in_the_first_line():
    rows = [
        row("model", "model", 0.52, 2.3),
        row("covariate-free hazard", "baseline", 0.5, 2.2, low=-0.03, high=0.07),
        row("logistic hazard", "baseline", 0.51, 2.6, low=-0.04, high=0.06),
    ]
    lines = summarize_evaluation(rows, [], **SETTINGS)
    assert lines[0] == "The model does not beat the best baseline: C-index 0.520 against 0.510 of logistic hazard."
    assert "The interval contains 0.5: there is no evidence that the model ranks better than chance." in lines
    assert any("no higher than that of covariate-free hazard (nll 2.300 against 2.200)" in line for line in lines)


def test_landmarks_where_it_is_not_shown_to_be_better_are_in_the_first_line():
    rows = [row("model", "model", 0.78, 2.0), row("logistic hazard", "baseline", 0.72, 2.2, low=0.02, high=0.1)]
    landmarks = [landmark("visit 2", low=0.01), landmark("visit 5", low=-0.01), landmark("visit 9", low=None)]
    lines = summarize_evaluation(rows, landmarks, **SETTINGS)
    assert "Undecided, with too few events, at: visit 9." in lines
    assert lines[0].endswith("(C-index 0.780 against 0.720 of logistic hazard), but not at visit 5 (Cox).")
    assert "Ranks better than every baseline at: visit 2." in lines


def test_a_landmark_that_decides_nothing_is_not_passed_over():
    rows = [row("model", "model", 0.78, 2.0), row("logistic hazard", "baseline", 0.72, 2.2, low=0.02, high=0.1)]
    first = summarize_evaluation(rows, [landmark("visit 9", low=None)], **SETTINGS)[0]
    assert first == (
        "The model beats the best baseline at every step (C-index 0.780 against 0.720 of logistic hazard); "
        "undecided at visit 9."
    )


def test_every_baseline_must_be_beaten_not_only_the_best():
    rows = [row("model", "model", 0.78, 2.0), row("logistic hazard", "baseline", 0.72, 2.2, low=0.02, high=0.1)]
    close = landmark("visit 5", low=0.01)
    weaker = dataclasses.replace(close.rows[1], c_difference=difference(-0.02, 0.14))
    lines = summarize_evaluation(
        rows, [dataclasses.replace(close, rows=(close.rows[0], weaker, close.rows[2]))], **SETTINGS
    )
    assert "Not shown to rank better at: visit 5 (covariate-free hazard)." in lines
    assert not any(line.startswith("Ranks better") for line in lines)


def test_a_model_that_is_worse_beyond_noise_is_said_to_be_worse():
    rows = [row("model", "model", 0.70, 2.3), row("logistic hazard", "baseline", 0.75, 2.2, low=-0.09, high=-0.01)]
    assert summarize_evaluation(rows, [], **SETTINGS)[0] == (
        "The model is worse than the best baseline: C-index 0.700 against 0.750 of logistic hazard."
    )


def test_too_few_events_decide_nothing():
    model = dataclasses.replace(row("model", "model", 0.78, 2.0), c_td=Estimate(0.78))
    rows = [model, row("logistic hazard", "baseline", 0.72, 2.2)]
    first, second = summarize_evaluation(rows, [], split="test", events=12, min_events=30, confidence=0.95)[:2]
    # No band of the guide's table without an interval: that would be a claim.
    assert second == "C-index 0.780, without an interval."
    assert first.startswith("Undecided with 12 events, where 30 are needed: C-index 0.780 against 0.720")


def test_without_a_comparable_pair_there_is_no_verdict():
    rows = [row("model", "model", float("nan"), 0.1), row("free", "baseline", float("nan"), 0.1)]
    lines = summarize_evaluation(rows, [], split="test", events=0, min_events=30, confidence=0.95)
    assert lines == ("No summary: 0 events, and no two subjects can be compared.",)


@pytest.mark.parametrize(
    ("c_index", "reading"),
    [
        (0.29, "worse than random"),
        (0.5, "random"),
        (0.55, "weak signal"),
        (0.65, "moderate discrimination"),
        (0.7, "good discrimination"),
        (0.8, "excellent"),
        (float("nan"), "undefined"),
    ],
)
def test_the_guides_reading_of_a_c_index(c_index, reading):
    assert reading in interpret_c_index(c_index)


@pytest.mark.parametrize(("split", "said"), [("train", "fitted to"), ("val", "chosen on these"), ("test", None)])
def test_a_split_that_the_model_has_seen_is_said_to_be_one(split, said):
    rows = [row("model", "model", 0.78, 2.0), row("logistic hazard", "baseline", 0.72, 2.2, low=0.02, high=0.1)]
    lines = summarize_evaluation(rows, [], **(SETTINGS | {"split": split}))
    assert any(said in line for line in lines) if said else not any("these subjects" in line for line in lines)


def test_conventions_name_what_the_clock_needs():
    assert (
        "fitted on the subjects of the train split" in conventions(clock="visit", reference="train")["carried hazard"]
    )
    assert "carried hazard" not in conventions(clock="landmark", reference="val")
    on_landmark, on_days = (conventions(clock=clock, reference="val") for clock in ("landmark", "days"))
    assert list(on_landmark) == list(on_days)
    changed = {name for name in on_days if on_days[name] != on_landmark[name]}
    assert changed == {"c_td", "nll", "landmark", "steps", "interval"}
    assert "per prediction time" in on_days["nll"]
