"""check_health on values made by hand: each warning sign, fine and not fine; every advice composes."""

import functools
import math
from dataclasses import replace

import numpy as np
import pytest

from survlstm.compose import check_overrides
from survlstm.config import RunConfig
from survlstm.data.outcomes.synthetic import SyntheticOutcome
from survlstm.data.prepare import Flow, make
from survlstm.data.split import Split
from survlstm.data.tensors import Tensors
from survlstm.data.visits import offsets_of
from survlstm.data.vocabulary import Vocabulary
from survlstm.errors import TrainingError
from survlstm.judgement.health import CHECKS, HealthFacts, advice, check_health, not_finite
from survlstm.judgement.health.training import trend_z
from survlstm.judgement.results import Difference, Estimate, Finding, Interval, LandmarkResult, Row, Verdict
from survlstm.training.history import Epoch, History
from tests.records import SETTINGS, RecordsSource, events_of, random_records

GUIDE_1000 = ("experiment=guide_1000",)
GUIDE_106 = ("experiment=guide_106",)


@functools.cache
def config_of(*words):
    (config,) = check_overrides("train", list(words), RunConfig)
    return config


def history_of(val_loss, *, train_loss=None, c_td=0.7, stopped="early stopping after 20 epochs", **same):
    """An epoch for each validation loss; a number stands for all epochs."""
    count = len(val_loss)
    train_loss = np.linspace(2.5, 2.0, count) if train_loss is None else train_loss
    fixed = {"lr": 0.001, "grad_norm": 1.0, "seconds": 2.0, "subjects_per_second": 400.0, **same}
    rows = zip(
        val_loss, train_loss, np.broadcast_to(c_td, count), np.broadcast_to(fixed["grad_norm"], count), strict=True
    )
    epochs = [
        Epoch(n, float(train), float(val), float(c), fixed["lr"], float(norm), fixed["seconds"], 400.0)
        for n, (val, train, c, norm) in enumerate(rows, start=1)
    ]
    return History(1_100_000, 1400.0, epochs, int(np.argmin(val_loss)) + 1, stopped)


def tensors_of(*, events=0.7, code=None, subjects=400):
    """One code a visit; the first 70 % train, then 15 % each."""
    generator = np.random.default_rng(0)
    step = generator.integers(0, 6, subjects)
    visits = int((step + 1).sum())
    event = np.arange(subjects) % 10 < 10 * events
    return Tensors(
        subject_id=np.arange(subjects).astype(np.str_),
        split=np.repeat([0, 1, 2], [subjects * 70 // 100, subjects * 15 // 100, subjects * 15 // 100]).astype(np.int8),
        step=step,
        event=event,
        duration_days=step + 1.0,
        edge_days=np.empty(0),
        visit_offsets=offsets_of(step + 1),
        visit_time=np.zeros(visits, dtype="datetime64[s]"),
        features=np.zeros((visits, 5), dtype=np.float32),
        oracle_hazard=np.full(visits, np.nan, dtype=np.float32),
        code_offsets=np.arange(visits + 1),
        code=generator.integers(1, 4, visits).astype(np.int32) if code is None else code(step, event),
    )


def flow_of(warnings=(), **facts):
    return Flow((), 0, {}, 0, {}, 0, {}, 0, 400, (), 400, facts, tuple(warnings))


DRAWN = {"event_rate": 0.7, "asked_event_rate": 0.7, "risk_time_correlation": -0.39}


def gain(value, half=0.02):
    return Difference(value, Interval(value - half, value + half), 0.5)


def row_of(name, role, c_td, nll, *, c_gain=None, nll_gain=None, half=0.05):
    interval = None if half is None else Interval(c_td - half, c_td + half)
    return Row(name, role, Estimate(c_td, interval), Estimate(nll), c_gain, nll_gain)


def verdict_of(c_td=0.78, nll=2.3, *, half=0.05, events=120, baselines=None, landmarks=()):
    if baselines is None:
        baselines = (
            row_of("covariate-free hazard", "baseline", 0.5, 2.65, c_gain=gain(c_td - 0.5), nll_gain=gain(nll - 2.65)),
            row_of("record length", "baseline", 0.6, 2.6, c_gain=gain(c_td - 0.6), nll_gain=gain(nll - 2.6)),
        )
    rows = (row_of("model", "model", c_td, nll, half=half), *baselines)
    return Verdict("visit", "test", 180, events, 9000, rows, tuple(landmarks), (), (), (), {})


def landmark_of(name="visit 5", *, horizons=(1.0, 5.0), unsupported=(), after=(90, 40), unit="steps"):
    counts = tuple(after[: len(horizons)])
    return LandmarkResult(name, unit, 100, 60, 8.0, 40.0, horizons, counts, counts, unsupported, (), (), ())


def facts_of(*words, **parts):
    made = {
        "config": config_of(*(words or GUIDE_1000)),
        "history": history_of(np.r_[np.linspace(2.6, 2.2, 8), np.linspace(2.21, 2.33, 10)]),
        "flow": flow_of(**DRAWN),
        "tensors": tensors_of(),
        "vocabulary": Vocabulary(("[PAD]", "[UNK]", "A", "B")),
        "verdict": verdict_of(landmarks=(landmark_of(),)),
        "canaries": (),
    }
    return HealthFacts(**(made | parts))


def found(check, facts, *words):
    """One check's finding; its advice composes with the words that the run was started by."""
    (finding,) = (one for one in check_health(facts) if one.check == check)
    for said in finding.advice:
        if "=" in said:
            config_of(*(words or GUIDE_1000), *said.split())
    return finding


def assert_finding(finding, level, words, evidence="", advice=()):
    assert (finding.level, finding.check) == (level, finding.check), finding
    assert words in finding.finding
    assert evidence in finding.evidence
    assert set(advice) <= set(finding.advice), finding.advice
    if level == "ok":
        assert finding.advice == ()


def test_a_healthy_run_of_the_guide_warns_of_nothing():
    canary = Finding("canary", "ok", "It lives.", "figures")
    findings = check_health(facts_of(canaries=(canary,)))
    assert {one.level for one in findings} == {"ok"}
    assert len(findings) == len(CHECKS) + 1
    assert findings[-1] == canary
    assert len({one.check for one in findings}) == len(findings)
    for one in findings:
        assert one.finding.endswith(".")
        assert one.finding[0].isupper()
        assert one.evidence


def test_where_nothing_was_trained_training_is_not_spoken_of():
    findings = check_health(facts_of(history=None))
    assert len(findings) == len(CHECKS) - 7
    assert not {"validation loss", "model size", "C-index on validation"} & {one.check for one in findings}


# 1: the C-index


@pytest.mark.parametrize(
    ("c_td", "level", "words"),
    [
        (0.78, "ok", "read as good discrimination."),
        (0.58, "ok", "weak signal"),
        (0.53, "warning", "barely better than random"),
        (0.47, "warning", "barely better than random"),
        (0.44, "failure", "the wrong way round"),
    ],
)
def test_the_c_index_on_test(c_td, level, words):
    finding = found("C-index on test", facts_of(verdict=verdict_of(c_td)))
    assert_finding(finding, level, words, f"c_td {c_td:.3f}")


def test_few_events_are_said():
    finding = found("C-index on test", facts_of(verdict=verdict_of(0.27, half=None, events=12)))
    assert_finding(finding, "warning", "the wrong way round, though 12 events say little", "12 events")


def test_an_interval_that_holds_one_half_is_noted():
    finding = found("C-index on test", facts_of(verdict=verdict_of(0.56, half=0.08)))
    assert_finding(finding, "note", "the interval of the C-index holds 0.5", "0.480 to 0.640")


def test_an_undefined_c_index_is_noted():
    facts = facts_of(verdict=verdict_of(math.nan, half=None, events=0))
    assert_finding(found("C-index on test", facts), "note", "no two subjects can be compared")
    assert_finding(found("best baseline", facts), "note", "No baseline can be compared")


@pytest.mark.parametrize(
    ("c_td", "level", "words"),
    [(0.7, "ok", "good discrimination"), (0.5, "warning", "barely"), (0.4, "warning", "wrong")],
)
def test_the_c_index_on_validation_is_that_of_the_kept_epoch(c_td, level, words):
    history = history_of([2.5, 2.2, 2.3], c_td=[0.6, c_td, 0.9])
    assert_finding(found("C-index on validation", facts_of(history=history)), level, words, "42 events")


def test_one_half_is_what_must_come_out_of_a_random_outcome():
    words = (*GUIDE_1000, "outcome=random")
    facts = facts_of(*words, verdict=verdict_of(0.43, 2.7), history=history_of([2.5, 2.2, 2.3], c_td=0.41))
    for check in ("C-index on test", "C-index on validation", "best baseline", "record length"):
        assert_finding(found(check, facts), "ok", "The outcome is random" if "length" not in check else "is random")


def test_a_c_index_is_not_improved_by_a_larger_model_where_it_is_too_large_already():
    history = replace(facts_of().history, parameters_per_subject=13_000.0)
    low = verdict_of(0.5)
    assert "model.hidden_dim=512" in found("C-index on test", facts_of(verdict=low)).advice
    advised = found("C-index on test", facts_of(verdict=low, history=history)).advice
    assert advised == ("optimizer.lr=0.0001", "data.simulated.patients=2246")


def test_more_epochs_are_advised_where_the_last_ones_were_the_best():
    low = verdict_of(0.5)
    assert "trainer.epochs=200" not in found("C-index on test", facts_of(verdict=low)).advice
    improving = facts_of(verdict=low, history=history_of(np.linspace(2.5, 2.2, 20)))
    assert "trainer.epochs=200" in found("C-index on test", improving).advice


# 2: the trend of the validation C-index


@pytest.mark.parametrize("seed", range(5))
def test_a_falling_validation_c_index(seed):
    noise = np.random.default_rng(seed).normal(0, 0.01, 20)
    falling = history_of(np.linspace(2.5, 2.2, 20), c_td=np.linspace(0.62, 0.48, 20) + noise)
    finding = found("validation C-index over epochs", facts_of(history=falling))
    assert_finding(finding, "warning", "the wrong way round", "42 validation events")


@pytest.mark.parametrize("seed", range(5))
def test_wiggles_and_a_single_bad_end_are_no_trend(seed):
    c_td = 0.75 + np.random.default_rng(seed).normal(0, 0.02, 20)
    c_td[-1] = 0.5
    finding = found(
        "validation C-index over epochs", facts_of(history=history_of(np.linspace(2.5, 2.2, 20), c_td=c_td))
    )
    assert_finding(finding, "ok", "did not fall")


def test_a_fall_within_the_noise_of_few_events_is_no_warning():
    falling = history_of(np.linspace(2.5, 2.2, 20), c_td=np.linspace(0.62, 0.50, 20))
    few = facts_of(history=falling, tensors=tensors_of(subjects=60))
    assert few.val_events == 6
    assert_finding(found("validation C-index over epochs", few), "ok", "did not fall", "counts from 0.147 on")
    assert found("validation C-index over epochs", facts_of(history=falling)).level == "warning"


def test_a_trend_needs_epochs_and_something_to_learn():
    falling = history_of(np.linspace(2.5, 2.2, 20), c_td=np.linspace(0.9, 0.4, 20))
    random = facts_of(*GUIDE_1000, "outcome=random", history=falling)
    assert_finding(found("validation C-index over epochs", random), "ok", "wanders about 0.5")
    short = history_of([2.5, 2.4, 2.3], c_td=[0.8, 0.6, 0.4])
    assert_finding(found("validation C-index over epochs", facts_of(history=short)), "ok", "A trend needs 6 epochs")


def test_mann_kendall_worked_by_hand():
    # 10 pairs, 2 of them falling: S = 6, variance 5 * 4 * 15 / 18.
    assert trend_z(np.array([1.0, 2.0, 5.0, 3.0, 4.0])) == pytest.approx(6 / math.sqrt(300 / 18))
    assert trend_z(np.full(8, 0.5)) == 0.0


# 3: overfitting


def guides_own_story(stopped):
    """Training loss to 0.57; validation loss 2.55 at epoch 14, then up to 5.0."""
    val_loss = np.r_[np.linspace(3.1, 2.55, 14), np.linspace(2.6, 5.0, 36)]
    return history_of(val_loss, train_loss=np.linspace(3.0, 0.57, 50), stopped=stopped)


def test_the_guides_own_story_is_overfitting():
    finding = found("validation loss", facts_of(*GUIDE_106, history=guides_own_story("all 50 epochs done")), *GUIDE_106)
    advice = (
        "model.dropout=0.5",
        "optimizer.weight_decay=0.001",
        "trainer.early_stopping.patience=5",
        "data=cohort_1000",
    )
    assert_finding(finding, "warning", "Overfitting: the training loss fell while the validation loss rose", "", advice)
    assert "for 36 epochs" in finding.finding
    assert "The weights of epoch 14 are the ones kept" in finding.finding
    assert "epoch 14: validation loss 2.550" in finding.evidence
    assert "epoch 50: validation loss 5.000, training loss 0.570" in finding.evidence


def test_overfitting_that_early_stopping_ended_is_a_note():
    finding = found("validation loss", facts_of(history=guides_own_story("early stopping after 50 epochs")))
    assert_finding(finding, "note", "Early stopping ended overfitting", "validation loss 5.000")
    assert "The weights of epoch 14" in finding.finding


def test_advice_names_only_what_is_not_in_force():
    words = (*GUIDE_1000, "model.dropout=0.6", "optimizer.weight_decay=0.01", "trainer.early_stopping.patience=3")
    finding = found("validation loss", facts_of(*words, history=guides_own_story("all 50 epochs done")), *words)
    assert finding.advice == ("data.simulated.patients=2246",)


def test_a_loss_that_jumps_at_the_very_end_is_no_divergence():
    history = history_of([2.6, 2.4, 2.2, 2.25, 2.2, 2.26, 4.0], stopped="all 7 epochs done")
    assert_finding(found("validation loss", facts_of(history=history)), "ok", "has not risen")


def test_losses_that_rise_together_are_instability():
    val_loss = [2.6, 2.4, 2.2, 3.0, 3.5, 4.0]
    history = history_of(val_loss, train_loss=val_loss, stopped="all 6 epochs done")
    finding = found("validation loss", facts_of(history=history))
    assert_finding(finding, "warning", "Instability", "", ("optimizer.lr=0.0001", "trainer.grad_clip=0.5"))


# 4: losses and gradients that are not finite


def test_a_loss_that_is_not_finite():
    error = TrainingError("the training loss must be finite; found nan in epoch 3")
    finding = not_finite(error, config_of(*GUIDE_1000), history_of([2.5, 2.4]))
    assert_finding(finding, "failure", "not finite", "found nan in epoch 3; 2 epochs before that; last epoch 2")
    assert finding.advice == ("optimizer.lr=0.0001", "trainer.grad_clip=0.5")
    config_of(*GUIDE_1000, *finding.advice)
    unclipped = not_finite(error, config_of(*GUIDE_1000, "trainer.grad_clip=null"), None)
    assert "trainer.grad_clip=1" in unclipped.advice
    assert "0 epochs before that" in unclipped.evidence


@pytest.mark.parametrize(
    ("worst", "level", "words"),
    [
        (6.0, "ok", "no gradient exploded"),
        (80.0, "warning", "exploded in epoch 4"),
        (math.inf, "warning", "1 of 8 epochs"),
    ],
)
def test_gradients(worst, level, words):
    norms = np.ones(8)
    norms[3] = worst
    finding = found(
        "finite losses and gradients", facts_of(history=history_of(np.linspace(2.5, 2, 8), grad_norm=norms))
    )
    assert_finding(finding, level, words, "median 1")


# 5: size


@pytest.mark.parametrize(
    ("per_subject", "level"), [(1400.0, "ok"), (3600.0, "ok"), (5000.0, "warning"), (13_647.0, "warning")]
)
def test_parameters_for_each_training_subject(per_subject, level):
    history = replace(facts_of().history, parameters_per_subject=per_subject)
    finding = found("model size", facts_of(*GUIDE_106, history=history), *GUIDE_106)
    assert_finding(finding, level, "proportion" if level == "ok" else "too large", f"{per_subject:,.0f} for each")
    assert finding.advice == (() if level == "ok" else ("model=lstm_small", "data=cohort_1000"))


def test_a_small_model_is_made_narrower():
    history = replace(facts_of().history, parameters_per_subject=9000.0)
    words = (*GUIDE_106, "model=lstm_small")
    assert "model.hidden_dim=64" in found("model size", facts_of(*words, history=history), *words).advice


def test_what_is_called_small_is_lstm_small():
    small = config_of("model=lstm_small").model
    assert {size: getattr(small, size) for size in advice.SMALL} == advice.SMALL


# 6: events


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
    finding = found("test events", facts_of(verdict=verdict_of(events=events)))
    words = "enough events" if level == "ok" else "too few events for an interval"
    assert_finding(finding, level, words, f"{events} events among 180 test subjects; 30 are needed")
    assert (finding.advice or (None,))[0] == first


@pytest.mark.parametrize(
    ("words", "advised"),
    [
        (("data=tiny",), "data=cohort_1000"),
        (GUIDE_106, "data=cohort_1000"),
        (GUIDE_1000, "data.simulated.patients=2246"),
        (("data=synthea", "data.path=/tmp"), "a larger export in data.path"),
        (("data=cohort_1000", "data.path=/tmp"), "a larger export in data.path"),
    ],
)
def test_a_larger_cohort(words, advised):
    assert advice.larger_cohort(config_of(*words)) == (advised,)


# 7: the outcome


@pytest.mark.parametrize(
    ("correlation", "level", "words"),
    [(-0.39, "ok", "as it must"), (0.101, "warning", "little to teach"), (math.nan, "warning", "little to teach")],
)
def test_risk_and_event_time(correlation, level, words):
    flow = flow_of(**DRAWN | {"risk_time_correlation": correlation})
    finding = found("risk and event time", facts_of(flow=flow))
    advice = () if level == "ok" else ("outcome.effect=2.55", "outcome.event_rate=0.6")
    assert_finding(finding, level, words, "must be below -0.3", advice)


@pytest.mark.parametrize(
    ("rate", "level", "advised"),
    [
        (0.69, "ok", ()),
        (0.726, "note", ("data.simulated.patients=2246",)),
        (0.62, "warning", ("outcome.censoring_chance=0.00833333", "data.simulated.patients=2246")),
    ],
)
def test_the_event_rate(rate, level, advised):
    finding = found("event rate", facts_of(flow=flow_of(**DRAWN | {"event_rate": rate})))
    assert_finding(
        finding, level, "within 0.02" if level == "ok" else "off what was asked for", f"event rate {rate:.3f}"
    )
    assert finding.advice == advised


def test_outcomes_of_the_records_are_not_asked_for_what_was_drawn():
    words = (*GUIDE_1000, "outcome=death")
    facts = facts_of(*words, flow=flow_of())
    assert_finding(found("risk and event time", facts), "ok", "not a synthetic one")
    assert_finding(found("event rate", facts), "ok", "those of the records", "event rate 0.700")


# 8: horizons


@pytest.mark.parametrize(
    ("landmarks", "level", "words"),
    [
        ((), "ok", "No landmark"),
        ((landmark_of(),), "ok", "supports every horizon"),
        ((landmark_of(after=(90, 4)),), "note", "Fewer than 10 subjects were followed past a horizon at visit 5"),
        ((landmark_of(), landmark_of("visit 9", unsupported=(10.0,))), "note", "1 of 5 horizons lie behind"),
        ((landmark_of(horizons=(1.0,), unsupported=(5.0, 10.0)),), "warning", "2 of 3 horizons not supported"),
        ((landmark_of(), landmark_of("visit 9", horizons=(), unsupported=(1.0,))), "warning", "no horizon at visit 9"),
    ],
)
def test_horizons(landmarks, level, words):
    finding = found("horizons", facts_of(verdict=verdict_of(landmarks=landmarks)))
    assert_finding(finding, level, words)
    if level != "ok":
        assert any(said.startswith("outcome.censoring_chance=0.0083") for said in finding.advice)


def test_horizons_that_enough_are_followed_past_are_advised_on_the_visit_clock():
    def advised(*landmarks, clock="visit"):
        verdict = replace(verdict_of(landmarks=landmarks), clock=clock)
        finding = found("horizons", facts_of(verdict=verdict))
        return finding, [said for said in finding.advice if "horizons" in said]

    short = landmark_of("visit 9", horizons=(1.0,), unsupported=(5.0, 10.0))
    finding, said = advised(landmark_of(), short)
    assert said == ["judgement.landmarks.horizons=[1]"]
    assert "not supported: 5, 10" in finding.evidence
    few = landmark_of(horizons=(1.0, 5.0, 10.0), after=(90, 40, 4))
    assert advised(few)[1] == ["judgement.landmarks.horizons=[1,5]"]
    # Never what is asked for already, and never none at all.
    all_there = landmark_of(horizons=(1.0, 5.0, 10.0), unsupported=(20.0,), after=(90, 40, 30))
    assert advised(all_there)[1] == []
    assert advised(landmark_of(after=(3, 2)))[1] == []
    # In days they are set by the intervals of the clock.
    days = landmark_of(unit="days", horizons=(365.0,), unsupported=(1825.0,))
    assert advised(days, clock="landmark")[1] == []


# 9: what the source said


def test_histories_that_are_cut():
    cut = ("Histories look cut at about 2014-03-25, 10 years before the end: …",)
    assert_finding(found("left-truncated histories", facts_of()), "ok", "no common start")
    drawn = facts_of(flow=flow_of(cut, **DRAWN))
    assert_finding(found("left-truncated histories", drawn), "note", "drawn on what is left", "2014-03-25")
    finding = found("left-truncated histories", facts_of(flow=flow_of(cut)))
    assert_finding(finding, "warning", "no start of care", "2014-03-25")
    assert found("reading and labelling", drawn).level == "ok"


def test_other_warnings_of_the_source():
    facts = facts_of(flow=flow_of(("conditions: 3 rows have an unknown SYSTEM.", "x is empty."), **DRAWN))
    finding = found("reading and labelling", facts)
    assert_finding(finding, "warning", "gave warnings: 2", "unknown SYSTEM. x is empty.")


def test_the_warnings_of_an_outcome_are_left_to_their_own_checks():
    outcome = SyntheticOutcome(0.9, 0.01, 0.4, 0.4, 0.2, 0.3, seed=0)
    flow = make(RecordsSource(events_of(random_records(80, seed=0))), outcome, SETTINGS).flow
    assert len(flow.warnings) == 2
    facts = facts_of(flow=flow)
    assert found("reading and labelling", facts).level == "ok"
    assert found("risk and event time", facts).level == "warning"
    assert found("event rate", facts).level == "warning"


# 10: leak suspects


def test_a_code_that_is_the_outcome_is_suspected():
    def leaking(step, event):
        """Code 2 at the last visit of everybody with the event, code 3 elsewhere."""
        last = np.cumsum(step + 1) - 1
        code = np.full(int((step + 1).sum()), 3, dtype=np.int32)
        code[last[event]] = 2
        return code

    assert_finding(found("leak suspects", facts_of()), "ok", "No code alone reaches", "best: ")
    facts = facts_of(tensors=tensors_of(code=leaking))
    finding = found("leak suspects", facts)
    assert_finding(
        finding, "warning", "alone rank the subjects nearly perfectly", "A: c_td 1.000, 238 subjects, 238 events"
    )
    seen = facts.tensors.split != Split.TEST
    assert facts.tensors.event[seen].sum() == 238


def test_an_export_without_training_subjects_holds_no_suspects():
    tensors = tensors_of()
    strangers = replace(tensors, split=np.full_like(tensors.split, Split.TEST))
    finding = found("leak suspects", facts_of(history=None, tensors=strangers))
    assert_finding(finding, "ok", "No code alone reaches", "no pair of subjects can be compared")


# 11 and 15: record length and the best baseline


def test_record_length_must_not_win():
    def with_length(c_td, difference):
        length = row_of("record length", "baseline", c_td, 2.6, c_gain=difference)
        return found("record length", facts_of(verdict=verdict_of(0.7, baselines=(length,))))

    assert_finding(
        with_length(0.6, gain(0.1)), "ok", "no worse than the length", "difference +0.100 (+0.080 to +0.120)"
    )
    assert_finding(with_length(0.71, gain(-0.01)), "warning", "within noise")
    assert_finding(with_length(0.71, None), "warning", "within noise")
    assert_finding(with_length(0.8, gain(-0.1)), "failure", "beyond noise")


def test_record_length_may_not_have_been_asked_for():
    free = row_of("covariate-free hazard", "baseline", 0.5, 2.65, c_gain=gain(0.2))
    finding = found("record length", facts_of(verdict=verdict_of(baselines=(free,))))
    assert_finding(finding, "note", "was no contender")


@pytest.mark.parametrize(
    ("c_td", "nll", "difference", "level", "words"),
    [
        (0.70, 2.6, gain(0.08), "ok", "ranks better than the best baseline, cox."),
        (0.77, 2.6, gain(0.01), "note", "not beyond noise"),
        (0.77, 2.6, None, "note", "not beyond noise"),
        (0.80, 2.6, gain(-0.02), "warning", "does not rank better than the best baseline, cox"),
        (0.70, 2.2, gain(0.08), "warning", "no likelier than cox"),
    ],
)
def test_the_best_baseline(c_td, nll, difference, level, words):
    free = row_of("covariate-free hazard", "baseline", 0.5, 2.65, c_gain=gain(0.28))
    cox = row_of("cox", "baseline", c_td, nll, c_gain=difference)
    finding = found("best baseline", facts_of(verdict=verdict_of(baselines=(free, cox))))
    assert_finding(finding, level, words, f"of cox; {'difference' if difference else 'nll'}")


# 13 and 14: time


@pytest.mark.parametrize(("seconds", "level"), [(2.0, "ok"), (900.0, "ok"), (1000.0, "warning")])
def test_slow_epochs(seconds, level):
    finding = found("seconds an epoch", facts_of(history=history_of([2.5, 2.4, 2.3], seconds=seconds)))
    assert_finding(finding, level, "15 minutes", "3 epochs")
    assert finding.advice == (() if level == "ok" else ("trainer.batch_size=128", "model.num_layers=1"))


def test_a_last_epoch_that_is_the_best():
    finding = found("enough epochs", facts_of(history=history_of([2.5, 2.4, 2.3], stopped="all 3 epochs done")))
    assert_finding(finding, "note", "still improving", "best epoch 3 of 3; all 3 epochs done", ("trainer.epochs=200",))
    assert found("enough epochs", facts_of(history=history_of([2.5, 2.3, 2.4]))).level == "ok"
