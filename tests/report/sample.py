"""Evaluations written by hand: both clocks, and one where almost everything is missing."""

from __future__ import annotations

import numpy as np

from survlstm.data.cohort import Exclusion
from survlstm.data.events import TableCount
from survlstm.data.prepared_data import CohortFlow
from survlstm.data.values.counts import MeasureCount, ValueCounts
from survlstm.data.vocabulary import Vocabulary
from survlstm.evaluation.results import (
    Calibration,
    Curves,
    Difference,
    Estimate,
    EvaluationSummary,
    Finding,
    GroupEvaluation,
    GroupRow,
    Interval,
    LandmarkCell,
    LandmarkResult,
    LandmarkRow,
    StepRow,
)
from survlstm.report.task import RunDescription, RunTask
from survlstm.training.history import Epoch, History
from tests.evaluated_runs import evaluated_run
from tests.tensors import tensors_of

CONFIG = "data:\n  path: null\n  min_visits: 3\nmodel:\n  hidden: 128  # <units> & more\nseed: 0\n"
MANIFEST = {
    "survlstm": "0.1.0",
    "torch": "2.13.0",
    "python": "3.11.7",
    "data fingerprint": "3f2a9c81d04be77a51c0aa12",
    "command": "survlstm train data=cohort_1000 model=lstm_small trainer.epochs=60",
}
CONVENTIONS = {
    "c_td": "Antolini's time-dependent concordance, 0.5 = random; equal S counts 1/2, two events in one step are not "
    "compared.",
    "nll": "Negative log-likelihood in nats per subject, lower = better.",
    "intervals": "95 % percentile bootstrap over subjects, 1,000 resamples; differences on the same resamples.",
    "auc": "Cumulative/dynamic AUC at the horizon, weighted by the inverse probability of censoring.",
}
LINES = (
    "Test C-index 0.732 (95% interval 0.684 to 0.779): good discrimination; a C-index alone is no ground for action.",
    "It beats the best baseline (number of visits so far) by 0.118 (0.064 to 0.171).",
    "Risks are too extreme at the longest horizon (slope 0.71): recalibrate before quoting probabilities.",
)
FINDINGS = (
    Finding("split", "ok", "Train, validation and test share no subject.", "820, 176 and 176 subjects"),
    Finding("chance", "ok", "The interval of the C-index lies above 0.5.", "0.684 to 0.779"),
    Finding(
        "overfitting",
        "warning",
        "Validation loss rises after its best epoch while training loss still falls.",
        "epoch 24: train 1.642, val 1.871; epoch 34: train 1.478, val 1.968",
        ("model.dropout=0.4", "optimizer.weight_decay=1e-3"),
    ),
    Finding(
        "calibration",
        "failure",
        "At 10 steps after visit 10 predicted risks are too extreme.",
        "slope 0.71, one-calibration p 0.004",
        ("model=lstm_small", "trainer.early_stopping.patience=5"),
    ),
    Finding("vocabulary", "note", "4.1 % of the test codes are unknown to the vocabulary.", "612 of 14,927"),
)


def estimate(value, half=0.05):
    """A figure with an interval around it."""
    return Estimate(value, Interval(round(value - half, 4), round(value + half, 4)))


def difference(value, half=0.05, p=0.002):
    """A difference with an interval around it."""
    return Difference(value, Interval(round(value - half, 4), round(value + half, 4)), p)


def rows():
    """The model, the oracle and three baselines."""
    return (
        StepRow("model", "model", estimate(0.732, 0.048), estimate(1.871, 0.16), None, None),
        StepRow(
            "oracle", "oracle", estimate(0.781, 0.041), estimate(1.702, 0.15), difference(-0.049), difference(0.169)
        ),
        StepRow(
            "number of visits so far",
            "baseline",
            estimate(0.614, 0.055),
            estimate(2.101, 0.17),
            difference(0.118),
            difference(-0.23),
        ),
        StepRow("age at landmark", "baseline", estimate(0.583, 0.06), estimate(2.12, 0.17), difference(0.149), None),
        StepRow("covariate-free hazard", "baseline", Estimate(0.5), estimate(2.14, 0.17), None, difference(-0.269)),
    )


def landmark(name, horizons, *, unit="steps", at_risk=141, unsupported=(), shift=0.0):
    """All comparators from one landmark."""
    comparators = [("model", "model", 0.74), ("oracle", "oracle", 0.79), ("covariate-free", "baseline", 0.5)]
    found = []
    for who, role, level in comparators:
        cells = []
        for place, horizon in enumerate(horizons):
            value = round(level + shift - 0.02 * place, 3) if role != "baseline" else 0.5
            cells.append(
                LandmarkCell(
                    float(horizon),
                    estimate(value - 0.01) if role != "baseline" else Estimate(0.5),
                    None if role == "baseline" else estimate(value - 0.015),
                    estimate(value) if role != "baseline" else Estimate(0.5),
                    estimate(0.11 + 0.03 * place, 0.02),
                    estimate(0.41 + 0.03 * place, 0.04),
                    0.213,
                )
            )
        found.append(
            LandmarkRow(
                who,
                role,
                tuple(cells),
                estimate(0.151, 0.02),
                estimate(0.47, 0.03),
                None if role == "model" else difference(-0.012, 0.01, 0.031),
                None if role == "model" else difference(0.06, 0.03, 0.0004),
            )
        )
    after = tuple(int(at_risk * (0.86 - 0.17 * place)) for place in range(len(horizons)))
    return LandmarkResult(
        name=name,
        unit=unit,
        at_risk=at_risk,
        events=61,
        follow_up=17.5 if unit == "steps" else 1204.0,
        longest=212.5 if unit == "steps" else 3402.0,
        horizons=tuple(float(horizon) for horizon in horizons),
        at_risk_after=after,
        events_by=tuple(int(at_risk * 0.1 * (place + 1)) for place in range(len(horizons))),
        unsupported=tuple(float(horizon) for horizon in unsupported),
        rows=tuple(found),
        calibration=tuple(calibration(float(horizon), place) for place, horizon in enumerate(horizons)),
        notes=("Uno's C of covariate-free: all scores are equal; the weights need two.",),
    )


def calibration(horizon, place):
    """Ten groups; at the third horizon a line without groups."""
    if place == 2:
        why = "no calibration test: fewer than two groups of 15"
        return Calibration(horizon, (), (), (), (), (), None, 0.71, -0.2, -0.15, why)
    predicted = np.array([0.62, 0.48, 0.39, 0.31, 0.26, 0.2, 0.15, 0.11, 0.07, 0.03])
    observed = np.array([0.51, 0.5, 0.33, 0.36, 0.21, 0.24, 0.1, 0.13, 0.09, 0.0])
    low, high = np.clip(observed - 0.12, 0.005, 1), np.clip(observed + 0.14, 0, 1)
    low[-1] = high[-1] = np.nan
    values = (tuple(float(value) for value in array) for array in (predicted, observed, low, high))
    return Calibration(horizon, (15, *[14] * 9), *values, 0.214, 0.83, -0.11, -0.06, None)


def curves(name, time, unit="steps"):
    """Three examples (event, censored, followed beyond the grid) and three groups, one with short follow-up."""
    time = np.array(time, dtype=float)
    share = time / time[-1]
    predicted = np.array([np.exp(-0.12 * share), np.exp(-0.5 * share), np.exp(-1.3 * share)])
    observed = predicted + np.array([0.02, -0.03, 0.06])[:, None] * share
    observed[2, share > 0.8] = np.nan
    return Curves(
        landmark=name,
        unit=unit,
        time=time,
        example_name=("lowest risk", "median risk", "highest risk"),
        example_survival=np.array([np.exp(-0.05 * share), np.exp(-0.6 * share), np.exp(-2.4 * share)]),
        example_duration=(float(time[-1] * 2.5), float(time[-1] * 0.55), float(time[-1] * 0.3)),
        example_event=(False, False, True),
        group_name=("low risk", "middle", "high risk"),
        group_survival=predicted,
        group_observed=observed,
        group_low=observed - 0.09 * np.sqrt(share),
        group_high=np.minimum(observed + 0.09 * np.sqrt(share), 1.0),
        group_at_risk=np.round(47 * (1 - np.outer([0.3, 0.5, 0.8], share))).astype(np.int64),
        covariate_free=np.exp(-0.62 * share),
    )


def groups(**changes):
    """Groups by two kinds, one of them pooled and one without a C-index and risks."""
    values = {
        "landmark": "visit 3",
        "unit": "steps",
        "horizon": 20.0,
        "rows": (
            GroupRow(
                "sex",
                "F",
                90,
                41,
                Estimate(0.7412, Interval(0.67, 0.81)),
                80,
                0.412,
                Estimate(0.431, Interval(0.33, 0.55)),
            ),
            GroupRow(
                "sex",
                "M",
                86,
                33,
                Estimate(0.7214, Interval(0.64, 0.79)),
                75,
                0.352,
                Estimate(0.399, Interval(0.30, 0.52)),
            ),
            GroupRow(
                "race", "native hawaiian or other pacific islander", 148, 70, Estimate(0.739), 130, 0.4, Estimate(1.0)
            ),
            GroupRow("race", "white", 21, 0),
            GroupRow("race", "fewer than 10 subjects", 7),
        ),
        "notes": ("no C-index, because no two subjects can be compared, in 1 group",),
    }
    return GroupEvaluation(**{**values, **changes})


def visit_verdict(**changes):
    """Three landmarks on the visit clock."""
    values = {
        "clock": "visit",
        "split": "test",
        "subjects": 176,
        "events": 74,
        "comparable_pairs": 8213,
        "rows": rows(),
        "landmarks": (
            landmark("visit 3", (1, 5, 10, 20)),
            landmark("visit 5", (1, 5, 10, 20), at_risk=118, shift=-0.03),
            landmark("visit 10", (1, 5, 10), at_risk=84, shift=0.04, unsupported=(20,)),
        ),
        "curves": tuple(curves(name, range(1, 21)) for name in ("visit 3", "visit 5", "visit 10")),
        "lines": LINES,
        "notes": ("covariate-free hazard: no interval for a constant.",),
        "conventions": CONVENTIONS,
        "groups": groups(),
    }
    return EvaluationSummary(**{**values, **changes})


def landmark_verdict():
    """One landmark in days."""
    horizons = (365, 1095, 1825)
    name = "landmark"
    found = landmark(name, horizons, unit="days", at_risk=1041, unsupported=(3650,))
    return visit_verdict(
        clock="landmark",
        subjects=1041,
        events=312,
        landmarks=(found,),
        curves=(curves(name, np.arange(1, 21) * 91.25, "days"),),
        groups=groups(landmark=name, unit="days", horizon=1825.0),
    )


def bare_verdict():
    """A split without one event: no interval, no landmark, no curve."""
    return EvaluationSummary(
        clock="visit",
        split="test",
        subjects=9,
        events=0,
        comparable_pairs=0,
        rows=(
            StepRow("model", "model", Estimate(float("nan")), Estimate(0.21), None, None),
            StepRow("covariate-free hazard", "baseline", Estimate(float("nan")), Estimate(float("inf")), None, None),
        ),
        landmarks=(),
        curves=(),
        lines=("Test C-index undefined: no comparable pair of subjects among 9 with 0 events.",),
        notes=("no interval: 0 events among 9 test subjects, 30 are needed",),
        conventions={},
    )


def flow(**changes):
    """Rows, visits and subjects of a cohort of a thousand."""
    values = {
        "tables": (
            TableCount("encounters", 61_459, 61_459, {"patient left out": 0}, {}),
            TableCount(
                "observations", 531_144, 482_902, {"book-keeping without an encounter": 48_230}, {"no time": 12}
            ),
            TableCount("conditions", 38_094, 38_094, {}, {}),
        ),
        "entries_read": 582_455,
        "entries_left_out": {"no encounter": 0, "in visits left out": 101_220, "beyond max_codes_per_visit": 0},
        "entries_used": 481_235,
        "codes_unknown": {"entries": 612, "codes": 41},
        "visits_made": 58_102,
        "visits_left_out": {"of excluded subjects": 1_210, "behind the last at-risk step": 11_002},
        "visits_used": 45_890,
        "subjects_read": 1_278,
        "subjects_excluded": (
            Exclusion("no visit", 0, 0),
            Exclusion("outcome at the first visit (prevalent)", 31, 31),
            Exclusion("fewer than 3 observed visits", 75, 19),
            Exclusion("no step at risk: no follow-up", 0, 0),
        ),
        "subjects_used": 1_172,
        "outcome_facts": {"oracle_c_td": 0.79, "risk_time_correlation": -0.41},
        "warnings": ("Histories are cut on the left: 38 % of the subjects start with an active condition.",),
        "entries_added": 39_000,
        "fused_added": 39_000,
        "values": value_counts(),
    }
    return CohortFlow(**{**values, **changes})


def measure(code="LOINC/2160-0", unit="mg/dL", **changes):
    """Counts of a measure with five bins and columns, in which nothing is irregular."""
    parts = {
        "edges": (0.8, 0.95, 1.1, 1.45),
        "bin_values": (5_602, 5_588, 5_611, 5_590, 5_609),
        "has_columns": True,
        "values": 39_000,
        "entries_of_code": 39_000,
    }
    numbers = ("far_outside", "visits_with_several", "texts", "infinite", "without_value")
    zero = dict.fromkeys((*numbers, "subjects_with_several_units"), 0)
    return MeasureCount(code, unit, **{**zero, **parts, **changes})


def value_counts(**changes):
    """A measure with everything irregular, one with too few values and one with hardly any other value."""
    counts = {
        "numbers": 39_062,
        "in_bins": 39_000,
        "in_columns": 39_031,
        "other_unit": 7,
        "far_outside": 41,
        "texts": 12,
        "infinite": 1,
        "measures": (
            measure(
                far_outside=41,
                visits_with_several=1,
                entries_of_code=39_120,
                texts=12,
                infinite=1,
                without_value=100,
                subjects_with_several_units=4,
            ),
            measure("LOINC/<b>", "µmol/L", edges=(), bin_values=(31,), values=31, entries_of_code=31),
            measure("LOINC/5767-9", "", edges=(), bin_values=(61,), has_columns=False, values=20, entries_of_code=20),
        ),
    }
    return ValueCounts(**{**counts, **changes})


def run(summary, *, history, flow):
    """The evaluated run with this summary."""
    tensors = tensors_of(step=[1], event=[True], split=[2])
    return evaluated_run(
        summary, history=history, flow=flow, tensors=tensors, vocabulary=Vocabulary(("[PAD]", "[UNK]"))
    )


def description(banner=""):
    """Title, task and configuration of the page."""
    return RunDescription("lstm_small on cohort_1000", RunTask("death", "1,000 simulated patients", banner), CONFIG)


def history(epochs=34, best_epoch=24):
    """Training loss falls, validation loss turns at the best epoch."""
    made = [
        Epoch(
            epoch=number,
            train_loss=1.45 + 1.4 * float(np.exp(-number / 9)),
            val_loss=1.87 + 0.9 * float(np.exp(-number / 6)) + 0.0008 * max(0, number - best_epoch) ** 2,
            val_c_td=0.74 - 0.2 * float(np.exp(-number / 7)),
            lr=1e-3 if number < 28 else 5e-4,
            grad_norm=0.8,
            seconds=1.9,
            subjects_per_second=431.0,
        )
        for number in range(1, epochs + 1)
    ]
    return History(1_086_977, 1325.6, made, best_epoch, "no improvement of val_loss for 10 epochs")
