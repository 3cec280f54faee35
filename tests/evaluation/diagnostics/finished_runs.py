"""Finished runs by hand, one of the guide in good health, and what a check finds in them."""

import functools

import numpy as np

from survlstm.config.compose import check_overrides
from survlstm.config.schema.run import RunConfig
from survlstm.data.prepared_data import CohortFlow
from survlstm.data.vocabulary import Vocabulary
from survlstm.evaluation.diagnostics import DiagnosticContext, run_diagnostics
from survlstm.evaluation.results import Difference, Estimate, EvaluationSummary, Interval, LandmarkResult, StepRow
from survlstm.runs.evaluation_settings import evaluation_settings, run_settings
from survlstm.training.history import Epoch, History
from tests.evaluated_runs import evaluated_run
from tests.tensors import flat_tensors

GUIDE_1000 = ("experiment=guide_1000",)
GUIDE_106 = ("experiment=guide_106",)
DRAWN = {"event_rate": 0.7, "asked_event_rate": 0.7, "risk_time_correlation": -0.39}


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
    event = np.arange(subjects) % 10 < 10 * events
    visits = int((step + 1).sum())
    return flat_tensors(
        step=step,
        event=event,
        split=np.repeat([0, 1, 2], [subjects * 70 // 100, subjects * 15 // 100, subjects * 15 // 100]),
        visits=step + 1,
        codes_per_visit=np.ones(visits, dtype=np.int64),
        code=generator.integers(1, 4, visits) if code is None else code(step, event),
    )


def flow_of(warnings=(), **facts):
    return CohortFlow((), 0, {}, 0, {}, 0, {}, 0, 400, (), 400, facts, tuple(warnings))


def gain(value, half=0.02):
    return Difference(value, Interval(value - half, value + half), 0.5)


def row_of(name, role, c_td, nll, *, c_gain=None, nll_gain=None, half=0.05):
    interval = None if half is None else Interval(c_td - half, c_td + half)
    return StepRow(name, role, Estimate(c_td, interval), Estimate(nll), c_gain, nll_gain)


def verdict_of(c_td=0.78, nll=2.3, *, half=0.05, events=120, baselines=None, landmarks=()):
    if baselines is None:
        baselines = (
            row_of("covariate-free hazard", "baseline", 0.5, 2.65, c_gain=gain(c_td - 0.5), nll_gain=gain(nll - 2.65)),
            row_of("record length", "baseline", 0.6, 2.6, c_gain=gain(c_td - 0.6), nll_gain=gain(nll - 2.6)),
        )
    rows = (row_of("model", "model", c_td, nll, half=half), *baselines)
    return EvaluationSummary("visit", "test", 180, events, 9000, rows, tuple(landmarks), (), (), (), {})


def landmark_of(name="visit 5", *, horizons=(1.0, 5.0), unsupported=(), after=(90, 40), unit="steps"):
    counts = tuple(after[: len(horizons)])
    return LandmarkResult(name, unit, 100, 60, 8.0, 40.0, horizons, counts, counts, unsupported, (), (), ())


def context_of(*words, **parts):
    config = config_of(*(words or GUIDE_1000))
    values = {
        "history": history_of(np.r_[np.linspace(2.6, 2.2, 8), np.linspace(2.21, 2.33, 10)]),
        "flow": flow_of(**DRAWN),
        "tensors": tensors_of(),
        "vocabulary": Vocabulary(("[PAD]", "[UNK]", "A", "B")),
        "summary": verdict_of(landmarks=(landmark_of(),)),
    }
    return DiagnosticContext(
        evaluated_run(**(values | parts)),
        run_settings(config),
        evaluation_settings(config.evaluation, seed=config.seed),
    )


def found(check, context, *words):
    """One check's finding; its advice composes with the words that the run was started by."""
    (finding,) = (one for one in run_diagnostics(context) if one.check == check)
    for said in finding.advice:
        if "=" in said:
            config_of(*(words or GUIDE_1000), *said.split())
    return finding


def assert_finding(finding, level, words, evidence="", advice=()):
    assert finding.level == level, finding
    assert words in finding.finding
    assert evidence in finding.evidence
    assert set(advice) <= set(finding.advice), finding.advice
    if level == "ok":
        assert finding.advice == ()


def guides_own_story(stopped):
    """Training loss to 0.57; validation loss 2.55 at epoch 14, then up to 5.0."""
    val_loss = np.r_[np.linspace(3.1, 2.55, 14), np.linspace(2.6, 5.0, 36)]
    return history_of(val_loss, train_loss=np.linspace(3.0, 0.57, 50), stopped=stopped)
