"""C-index, baselines, events and horizons: each warning sign, fine and not fine."""

import math
from dataclasses import replace

import pytest

from survlstm.evaluation.diagnostics import run_diagnostics
from tests.evaluation.diagnostics.finished_runs import (
    GUIDE_1000,
    assert_finding,
    context_of,
    found,
    gain,
    history_of,
    landmark_of,
    row_of,
    verdict_of,
)


@pytest.mark.parametrize(
    ("c_td", "level", "words"),
    [
        (0.78, "ok", "means good discrimination."),
        (0.58, "ok", "weak signal"),
        (0.53, "warning", "barely better than random"),
        (0.47, "warning", "barely better than random"),
        (0.44, "failure", "the wrong way round"),
    ],
)
def test_the_c_index_on_test(c_td, level, words):
    finding = found("C-index on test", context_of(summary=verdict_of(c_td)))
    assert_finding(finding, level, words, f"C-index {c_td:.3f}")


def test_few_events_are_said():
    finding = found("C-index on test", context_of(summary=verdict_of(0.27, half=None, events=12)))
    assert_finding(finding, "warning", "the wrong way round, though 12 events say little", "12 events")


def test_an_interval_that_holds_one_half_is_noted():
    finding = found("C-index on test", context_of(summary=verdict_of(0.56, half=0.08)))
    assert_finding(finding, "note", "the interval of the C-index contains 0.5", "0.480 to 0.640")


def test_an_undefined_c_index_is_noted():
    context = context_of(summary=verdict_of(math.nan, half=None, events=0))
    assert_finding(found("C-index on test", context), "note", "no two subjects can be compared")
    assert_finding(found("best baseline", context), "note", "No baseline can be compared")


@pytest.mark.parametrize(
    ("c_td", "level", "words"),
    [(0.7, "ok", "good discrimination"), (0.5, "warning", "barely"), (0.4, "warning", "wrong")],
)
def test_the_c_index_on_validation_is_that_of_the_kept_epoch(c_td, level, words):
    history = history_of([2.5, 2.2, 2.3], c_td=[0.6, c_td, 0.9])
    assert_finding(found("C-index on validation", context_of(history=history)), level, words, "42 events")


def test_one_half_is_what_must_come_out_of_a_random_outcome():
    words = (*GUIDE_1000, "outcome=random")
    context = context_of(*words, summary=verdict_of(0.43, 2.7), history=history_of([2.5, 2.2, 2.3], c_td=0.41))
    for check in ("C-index on test", "C-index on validation", "best baseline", "record length"):
        assert_finding(found(check, context), "ok", "The outcome is random" if "length" not in check else "is random")


def test_record_length_must_not_win():
    def with_length(c_td, difference):
        length = row_of("record length", "baseline", c_td, 2.6, c_gain=difference)
        return found("record length", context_of(summary=verdict_of(0.7, baselines=(length,))))

    assert_finding(
        with_length(0.6, gain(0.1)), "ok", "no worse than the length", "difference +0.100 (+0.080 to +0.120)"
    )
    assert_finding(with_length(0.71, gain(-0.01)), "warning", "within noise")
    assert_finding(with_length(0.71, None), "warning", "within noise")
    assert_finding(with_length(0.8, gain(-0.1)), "failure", "beyond noise")


def test_record_length_may_not_have_been_asked_for():
    free = row_of("covariate-free hazard", "baseline", 0.5, 2.65, c_gain=gain(0.2))
    finding = found("record length", context_of(summary=verdict_of(baselines=(free,))))
    assert_finding(finding, "note", "not among the comparators")


@pytest.mark.parametrize(
    ("c_td", "nll", "difference", "level", "words"),
    [
        (0.70, 2.6, gain(0.08), "ok", "ranks better than the best baseline, cox."),
        (0.77, 2.6, gain(0.01), "note", "not beyond noise"),
        (0.77, 2.6, None, "note", "not beyond noise"),
        (0.80, 2.6, gain(-0.02), "warning", "does not rank better than the best baseline, cox"),
        (0.70, 2.2, gain(0.08), "warning", "no higher likelihood than cox"),
    ],
)
def test_the_best_baseline(c_td, nll, difference, level, words):
    free = row_of("covariate-free hazard", "baseline", 0.5, 2.65, c_gain=gain(0.28))
    cox = row_of("cox", "baseline", c_td, nll, c_gain=difference)
    finding = found("best baseline", context_of(summary=verdict_of(baselines=(free, cox))))
    assert_finding(finding, level, words, f"of cox; {'difference' if difference else 'nll'}")


@pytest.mark.parametrize(("c_td", "nll"), [(0.80, 2.6), (0.70, 2.2)])
def test_a_model_that_loses_to_a_baseline_is_first_advised_to_start_from_a_regression(c_td, nll):
    baseline = row_of("cox", "baseline", c_td, nll, c_gain=gain(0.78 - c_td))
    summary = verdict_of(baselines=(baseline,))
    assert found("best baseline", context_of(summary=summary)).advice[0] == "model=nested_lstm"
    words = (*GUIDE_1000, "model=nested_lstm")
    advised = found("best baseline", context_of(*words, summary=summary), *words).advice
    assert advised
    assert "model=nested_lstm" not in advised


@pytest.mark.parametrize(
    ("events", "level", "first"),
    [
        (30, "ok", None),
        (26, "warning", "split.train=0.65 split.test=0.2"),
        (12, "warning", "data.simulated.patients=2246"),
        (0, "warning", "data.simulated.patients=2246"),
    ],
)
def test_events_for_an_interval(events, level, first):
    finding = found("test events", context_of(summary=verdict_of(events=events)))
    words = "enough events" if level == "ok" else "too few events for an interval"
    assert_finding(finding, level, words, f"{events} events among 180 test subjects; 30 are needed")
    assert (finding.advice or (None,))[0] == first


@pytest.mark.parametrize(
    ("landmarks", "level", "words"),
    [
        ((), "ok", "No landmark"),
        ((landmark_of(),), "ok", "supports every requested horizon"),
        ((landmark_of(after=(90, 4)),), "note", "Fewer than 10 subjects were followed past a horizon at visit 5"),
        ((landmark_of(), landmark_of("visit 9", unsupported=(10.0,))), "note", "1 of 5 horizons lie after"),
        ((landmark_of(horizons=(1.0,), unsupported=(5.0, 10.0)),), "warning", "2 of 3 horizons not supported"),
        ((landmark_of(), landmark_of("visit 9", horizons=(), unsupported=(1.0,))), "warning", "no horizon at visit 9"),
    ],
)
def test_horizons(landmarks, level, words):
    finding = found("horizons", context_of(summary=verdict_of(landmarks=landmarks)))
    assert_finding(finding, level, words)
    if level != "ok":
        assert any(said.startswith("outcome.censoring_chance=0.0083") for said in finding.advice)


def test_horizons_that_enough_are_followed_past_are_advised_on_the_visit_clock():
    def advised(*landmarks, clock="visit"):
        summary = replace(verdict_of(landmarks=landmarks), clock=clock)
        finding = found("horizons", context_of(summary=summary))
        return finding, [said for said in finding.advice if "horizons" in said]

    short = landmark_of("visit 9", horizons=(1.0,), unsupported=(5.0, 10.0))
    finding, said = advised(landmark_of(), short)
    assert said == ["evaluation.landmarks.horizons=[1]"]
    assert "not supported: 5, 10" in finding.evidence
    few = landmark_of(horizons=(1.0, 5.0, 10.0), after=(90, 40, 4))
    assert advised(few)[1] == ["evaluation.landmarks.horizons=[1,5]"]
    # Never what is asked for already, and never none at all.
    all_there = landmark_of(horizons=(1.0, 5.0, 10.0), unsupported=(20.0,), after=(90, 40, 30))
    assert advised(all_there)[1] == []
    assert advised(landmark_of(after=(3, 2)))[1] == []
    # In days they are set by the intervals of the clock.
    days = landmark_of(unit="days", horizons=(365.0,), unsupported=(1825.0,))
    assert advised(days, clock="landmark")[1] == []


def test_horizons_before_nearly_all_events_are_said_to_see_none():
    late = replace(landmark_of(), events=60, events_by=tuple(3 for _ in landmark_of().horizons))
    finding = found("horizons", context_of(summary=verdict_of(landmarks=(late,))))
    assert_finding(finding, "note", "Few events happen by the last horizon")
    assert "3 of 60" in finding.evidence
    assert finding.advice == ("evaluation=long_records",)


def test_where_nothing_was_trained_advice_is_of_the_next_training():
    poor = verdict_of(landmarks=(landmark_of(unsupported=(20.0,)),))
    advice = [said for finding in run_diagnostics(context_of(summary=poor, history=None)) for said in finding.advice]
    assert any(said.startswith("train again with ") for said in advice)
    assert not any("=" in said and not said.startswith(("train again with ", "evaluation")) for said in advice)
