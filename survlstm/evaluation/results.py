"""What an evaluation says, as plain values: the summary's tables, landmarks, curves and findings."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int64


class Interval(NamedTuple):
    """A percentile bootstrap interval."""

    low: float
    high: float


class Estimate(NamedTuple):
    """A figure on the evaluated subjects; ``interval`` is None where there are too few events for one."""

    value: float
    interval: Interval | None = None


class Difference(NamedTuple):
    """The first model minus this one, by the paired bootstrap: the same resamples for both; ``p`` is two-sided."""

    value: float
    interval: Interval
    p: float


@dataclass(frozen=True)
class StepRow:
    """One contender in the summary's table; the differences are the model's figure minus this one's."""

    name: str
    role: Literal["model", "oracle", "baseline"]
    c_td: Estimate
    nll: Estimate
    c_td_difference: Difference | None
    nll_difference: Difference | None


def best_by_c_index(rows: Iterable[StepRow], role: str) -> StepRow | None:
    """The contender of a role with the highest c_td, one without a c_td last; None where there is none."""
    held = [row for row in rows if row.role == role]
    return max(held, key=lambda row: -1.0 if math.isnan(row.c_td.value) else row.c_td.value, default=None)


def best_by_nll(rows: Iterable[StepRow], role: str) -> StepRow | None:
    """The contender of a role with the lowest nll; None where there is none."""
    return min((row for row in rows if row.role == role), key=lambda row: row.nll.value, default=None)


@dataclass(frozen=True)
class Calibration:
    """Predicted beside observed risk of the model at one horizon, in groups from the highest risk to the lowest.

    ``low`` and ``high`` bound ``observed``, NaN where it is 0 or 1. ``why_not`` says what could not be computed.
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
    """One contender at one landmark and horizon; a figure that can't be computed is None.

    ``d_calibration`` is the p-value with the follow-up cut at the horizon. ``why_not`` says why there is no figure at
    all: without an event by the horizon.
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
    """One contender at one landmark: its cells, and its scores integrated over all horizons of the grid."""

    name: str
    role: Literal["model", "oracle", "baseline"]
    cells: tuple[LandmarkCell, ...]
    ibs: Estimate | None
    inbll: Estimate | None
    ibs_difference: Difference | None
    c_difference: Difference | None


@dataclass(frozen=True)
class LandmarkResult:
    """All contenders from one landmark. ``unit`` is of ``horizons``, ``follow_up`` and ``longest``: steps or days.

    ``at_risk`` and ``events`` count the evaluated subjects at the landmark and their events after it;
    ``at_risk_after`` and ``events_by`` do so at each horizon. ``follow_up`` is the median time to the event or the end
    of follow-up, ``unsupported`` holds the horizons asked for that lie behind it. ``notes`` say what is missing and
    why.
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


@dataclass(frozen=True)
class Curves:
    """Survival after one landmark, on the horizons of its grid (time 0 = the landmark, not part of ``time``).

    ``example_name`` says lowest, median or highest risk. A group is a third of the subjects by predicted risk; beside
    its mean predicted curve stands its own Kaplan-Meier curve with its confidence band, read at ``time`` (NaN behind
    its follow-up), and the numbers at risk just before.
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
    """A health check's answer: what was found, the figures behind it, and the overrides to try."""

    check: str
    level: Literal["ok", "note", "warning", "failure"]
    finding: str
    evidence: str
    advice: tuple[str, ...] = ()


@dataclass(frozen=True)
class EvaluationSummary:
    """What is said about a model on one split: the first of ``lines`` is the sentence that people quote."""

    clock: Literal["visit", "landmark"]
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

    @property
    def model(self) -> StepRow:
        """The judged model's row."""
        return self.rows[0]
