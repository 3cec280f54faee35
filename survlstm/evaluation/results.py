"""Results of an evaluation as plain values: tables, landmarks, curves and findings."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int64


class Interval(NamedTuple):
    """A percentile bootstrap interval.

    Attributes:
        low: Lower end.
        high: Upper end.
    """

    low: float
    high: float


class Estimate(NamedTuple):
    """A metric on the evaluated subjects.

    Attributes:
        value: The metric.
        interval: Its interval; None with too few events.
    """

    value: float
    interval: Interval | None = None


class Difference(NamedTuple):
    """Difference of two models, the first minus this one, by the paired bootstrap.

    Attributes:
        value: The difference on the evaluated subjects.
        interval: Its interval, from the same resamples for both models.
        p: Two-sided p-value of no difference.
    """

    value: float
    interval: Interval
    p: float


@dataclass(frozen=True)
class StepRow:
    """One model, the evaluated one or a comparator, at every step.

    Attributes:
        name: Name in tables.
        role: The evaluated model, the oracle (the hazards that drew a synthetic outcome) or a baseline.
        c_td: C-index, 0.5 = random, higher = better.
        nll: Negative log-likelihood in nats per subject, lower = better.
        c_td_difference: C-index of the model minus that of this row; None in the model's row or without an interval.
        nll_difference: The same of the negative log-likelihood.
    """

    name: str
    role: Literal["model", "oracle", "baseline"]
    c_td: Estimate
    nll: Estimate
    c_td_difference: Difference | None
    nll_difference: Difference | None


def best_by_c_index(rows: Iterable[StepRow], role: str) -> StepRow | None:
    """Return the row of a role with the highest C-index.

    Args:
        rows: Rows of all models.
        role: "oracle" or "baseline".

    Returns:
        The row, one with an undefined C-index only if there is no other; None without a row of this role.
    """
    candidates = [row for row in rows if row.role == role]
    return max(candidates, key=lambda row: -1.0 if math.isnan(row.c_td.value) else row.c_td.value, default=None)


def best_by_nll(rows: Iterable[StepRow], role: str) -> StepRow | None:
    """Return the row of a role with the lowest negative log-likelihood.

    Args:
        rows: Rows of all models.
        role: "oracle" or "baseline".

    Returns:
        The row; None without a row of this role.
    """
    return min((row for row in rows if row.role == role), key=lambda row: row.nll.value, default=None)


@dataclass(frozen=True)
class Calibration:
    """Calibration of the model at one horizon, in groups from the highest predicted risk to the lowest.

    Attributes:
        horizon: The horizon, in the unit of the landmark.
        subjects: Number of subjects of each group; the rounded sum of the weights of its rows if subjects have several.
        predicted: Mean predicted risk of each group.
        observed: Kaplan-Meier risk of each group.
        low: Lower end of the interval of ``observed``; NaN where the risk is 0 or 1.
        high: Upper end of that interval.
        p_value: p-value of the test that predicted and observed risks agree.
        slope: Slope of the calibration line; below 1 = predictions too extreme.
        intercept: Intercept of the calibration line.
        in_the_large: Calibration in the large; above 0 = risks predicted too low.
        why_not: Reason for what could not be computed; None if nothing is missing.
    """

    horizon: float
    subjects: tuple[int, ...]
    predicted: tuple[float, ...]
    observed: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    p_value: float | None
    slope: float | None
    intercept: float | None
    in_the_large: float | None
    why_not: str | None


@dataclass(frozen=True)
class LandmarkCell:
    """Metrics of one model at one landmark and horizon; None where a metric cannot be computed.

    Attributes:
        horizon: The horizon, in the unit of the landmark.
        c_harrell: Harrell's C.
        c_uno: Uno's C.
        auc: Cumulative/dynamic AUC.
        brier: Brier score.
        nbll: Negative binomial log-likelihood.
        d_calibration: p-value of D-calibration with the follow-up cut at the horizon.
        why_not: Reason why there is no metric at all (no event by the horizon); None otherwise.
    """

    horizon: float
    c_harrell: Estimate | None
    c_uno: Estimate | None
    auc: Estimate | None
    brier: Estimate | None
    nbll: Estimate | None
    d_calibration: float | None
    why_not: str | None = None


@dataclass(frozen=True)
class LandmarkRow:
    """One model at one landmark.

    Attributes:
        name: Name in tables.
        role: As in ``StepRow``.
        cells: Metrics at each horizon.
        ibs: Brier score integrated over the grid up to the last horizon.
        inbll: Negative binomial log-likelihood integrated over the same grid.
        ibs_difference: ``ibs`` of the model minus that of this row.
        c_difference: Harrell's C at the last horizon, of the model minus that of this row.
    """

    name: str
    role: Literal["model", "oracle", "baseline"]
    cells: tuple[LandmarkCell, ...]
    ibs: Estimate | None
    inbll: Estimate | None
    ibs_difference: Difference | None
    c_difference: Difference | None


@dataclass(frozen=True)
class LandmarkResult:
    """All models from one landmark.

    Attributes:
        name: Name of the landmark.
        unit: Unit of ``horizons``, ``follow_up`` and ``longest``.
        at_risk: Number of evaluated subjects at risk at the landmark; of rows if a subject has several.
        events: Number of these with an event after the landmark.
        follow_up: Median time to the event or the end of follow-up.
        longest: Longest such time.
        horizons: Horizons with metrics.
        at_risk_after: Number of subjects, or rows, at risk after each horizon.
        events_by: Number of events by each horizon, of subjects or rows.
        unsupported: Requested horizons that lie after the follow-up.
        rows: One row for each model, the evaluated one first.
        calibration: Calibration of the model at each horizon.
        notes: What is missing, and why.
        subjects: Number of subjects of the rows; None if every subject has one row.
        event_subjects: Number of these with an event; None likewise.
    """

    name: str
    unit: Literal["steps", "days"]
    at_risk: int
    events: int
    follow_up: float
    longest: float
    horizons: tuple[float, ...]
    at_risk_after: tuple[int, ...]
    events_by: tuple[int, ...]
    unsupported: tuple[float, ...]
    rows: tuple[LandmarkRow, ...]
    calibration: tuple[Calibration, ...]
    notes: tuple[str, ...]
    subjects: int | None = None
    event_subjects: int | None = None


@dataclass(frozen=True)
class Curves:
    """Survival curves of the model from one landmark.

    A group is a third of the subjects by predicted risk.

    Attributes:
        landmark: Name of the landmark, which is time 0.
        unit: Unit of ``time`` and ``example_duration``.
        time: Times of the curves, without time 0.
        example_name: Lowest, median or highest risk.
        example_survival: Predicted survival of each example subject.
        example_duration: Time to the event or the end of follow-up of each example subject.
        example_event: Whether the event happens at that time.
        group_name: Low, medium or high risk.
        group_survival: Mean predicted survival of each group.
        group_observed: Kaplan-Meier curve of each group; NaN after its follow-up.
        group_low: Lower end of the confidence band of ``group_observed``.
        group_high: Upper end of that band.
        group_at_risk: Number of subjects at risk just before each time.
        covariate_free: Mean survival by the covariate-free hazard.
    """

    landmark: str
    unit: Literal["steps", "days"]
    time: Float[np.ndarray, " horizon"]
    example_name: tuple[str, ...]
    example_survival: Float[np.ndarray, "example horizon"]
    example_duration: tuple[float, ...]
    example_event: tuple[bool, ...]
    group_name: tuple[str, ...]
    group_survival: Float[np.ndarray, "group horizon"]
    group_observed: Float[np.ndarray, "group horizon"]
    group_low: Float[np.ndarray, "group horizon"]
    group_high: Float[np.ndarray, "group horizon"]
    group_at_risk: Int64[np.ndarray, "group horizon"]
    covariate_free: Float[np.ndarray, " horizon"]


@dataclass(frozen=True)
class Finding:
    """Result of one diagnostic check.

    Attributes:
        check: Name of the check.
        level: "ok" if it passed, "note" for information, "warning" or "failure" otherwise.
        finding: One sentence that says what was found.
        evidence: The numbers behind the finding.
        advice: Overrides to try.
    """

    check: str
    level: Literal["ok", "note", "warning", "failure"]
    finding: str
    evidence: str
    advice: tuple[str, ...] = ()


@dataclass(frozen=True)
class GroupRow:
    """The model in one group of subjects; None where a figure is not shown or cannot be computed.

    Attributes:
        kind: What the group is formed by.
        name: Name of the group; that of the subjects of all groups that are too small for a row of their own is
            ``survlstm.evaluation.group_evaluation.POOLED``, and only their number is shown.
        subjects: Number of evaluated subjects.
        events: Number of events among them; None also where it would give that of a few pooled subjects.
        c_td: C-index at every step, within the group.
        at_risk: Number of subjects at risk at the landmark of the risks.
        predicted: Mean predicted risk by the horizon, of the subjects at risk.
        observed: Kaplan-Meier risk of these subjects by the horizon, with its interval.
    """

    kind: str
    name: str
    subjects: int
    events: int | None = None
    c_td: Estimate | None = None
    at_risk: int | None = None
    predicted: float | None = None
    observed: Estimate | None = None


@dataclass(frozen=True)
class GroupEvaluation:
    """The model in the groups of the evaluated subjects by sex, race, ethnicity and age.

    Attributes:
        landmark: Name of the landmark of the risks; None if no landmark has a horizon with metrics.
        unit: Unit of ``horizon``.
        horizon: Horizon of the risks; None without a landmark.
        rows: One row for each group, kind after kind.
        notes: What is missing, and why.
    """

    landmark: str | None
    unit: Literal["steps", "days"]
    horizon: float | None
    rows: tuple[GroupRow, ...]
    notes: tuple[str, ...]


class LikelihoodParts(NamedTuple):
    """Gain in log-likelihood over the covariate-free hazard, by the parts of a model with a linear part.

    Attributes:
        linear: Gain of the linear part alone, in nats per row; above 0 = better.
        network: What the whole model gains beyond that.
        interval: Interval of ``network``; None with too few events.
    """

    linear: float
    network: float
    interval: Interval | None


@dataclass(frozen=True)
class EvaluationSummary:
    """Evaluation of a model on one split.

    Attributes:
        clock: The clock of the steps.
        split: Name of the evaluated split.
        subjects: Number of evaluated subjects.
        events: Number of subjects with an event.
        comparable_pairs: Number of pairs that the C-index compares.
        rows: One row for each model, the evaluated one first.
        landmarks: Results from each landmark.
        curves: Survival curves from each landmark with enough subjects.
        lines: Sentences that summarise the evaluation, the most important one first.
        notes: What is missing in ``rows``, and why.
        conventions: Definition of every metric, by its name in files.
        groups: The model in groups of subjects; None if no group was asked for.
        parts: Shares of the parts of a model that has a linear part; None for other models.
    """

    clock: Literal["visit", "landmark", "days"]
    split: str
    subjects: int
    events: int
    comparable_pairs: int
    rows: tuple[StepRow, ...]
    landmarks: tuple[LandmarkResult, ...]
    curves: tuple[Curves, ...]
    lines: tuple[str, ...]
    notes: tuple[str, ...]
    conventions: dict[str, str]
    groups: GroupEvaluation | None = None
    parts: LikelihoodParts | None = None

    @property
    def model(self) -> StepRow:
        """The row of the evaluated model."""
        return self.rows[0]
