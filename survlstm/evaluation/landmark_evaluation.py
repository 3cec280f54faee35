"""Evaluation of all comparators from one landmark, with intervals and paired differences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from survlstm.evaluation.bootstrap import Bootstrap, Resample
from survlstm.evaluation.calibration import calibrate, d_calibration_until
from survlstm.evaluation.comparators import LandmarkComparator
from survlstm.evaluation.landmark_metrics import LandmarkMetrics, LandmarkSample, landmark_metrics
from survlstm.evaluation.landmarks import Landmark
from survlstm.evaluation.results import Difference, Estimate, LandmarkCell, LandmarkResult, LandmarkRow
from survlstm.survival.ipcw import supported_horizons
from survlstm.survival.kaplan_meier import censoring_curve


def evaluate_landmark(
    landmark: Landmark, comparators: list[LandmarkComparator], bootstrap: Bootstrap
) -> LandmarkResult:
    """Evaluate the comparators on the same subjects and the same resamples.

    Args:
        landmark: The landmark with its subjects.
        comparators: Survival curves; the first are those of the model.
        bootstrap: Settings of the intervals.

    Returns:
        The result. Horizons that the follow-up does not support are left out and named; integrated scores run to the
        last horizon shown.
    """
    test, censored = landmark.test, landmark.censoring
    if not len(test.subject) or not len(censored.subject):
        return _without_metrics(landmark, "no subject is at risk at this landmark")
    censoring = censoring_curve(censored.duration, censored.event, weight=censored.case_weight)
    grid, shown = (
        supported_horizons(times, duration=test.duration, censoring=censoring)
        for times in (landmark.grid, landmark.horizons)
    )
    if not len(shown):
        return _without_metrics(landmark, "no horizon lies within the follow-up")
    grid = grid[grid <= shown[-1]]
    sample = LandmarkSample(
        np.stack([comparator.survival[:, : len(grid)] for comparator in comparators]),
        test.duration,
        test.event,
        test.case_weight,
        test.group,
    )
    happened = test.event[:, None] & (test.duration[:, None] <= shown)
    events_by = happened.sum(axis=0)
    # The rows of a subject share its event, so that an interval needs as many subjects with an event.
    enough = np.array([len(np.unique(test.subject[column])) for column in happened.T]) >= bootstrap.min_events
    table = _Table(
        landmark=landmark,
        grid=grid,
        shown=shown,
        observed=landmark_metrics(sample, censoring=censoring, grid=grid, shown=shown),
        resampled=_resample(landmark, sample, grid, shown, bootstrap) if enough[-1] else None,
        has_interval=enough,
        events_by=events_by,
        bootstrap=bootstrap,
    )
    step_of = np.searchsorted(grid, shown)
    return LandmarkResult(
        **_counts_of(landmark),
        horizons=tuple(shown.tolist()),
        at_risk_after=tuple((test.duration[:, None] > shown).sum(axis=0).tolist()),
        events_by=tuple(events_by.tolist()),
        unsupported=tuple(landmark.horizons[len(shown) :].tolist()),
        rows=tuple(table.row(number, comparator) for number, comparator in enumerate(comparators)),
        calibration=tuple(
            calibrate(sample.survival[0, :, step], test, float(horizon), censoring, bootstrap.confidence)
            for horizon, step in zip(shown, step_of, strict=True)
        ),
        notes=tuple(table.notes()),
    )


def _resample(
    landmark: Landmark, sample: LandmarkSample, grid: np.ndarray, shown: np.ndarray, bootstrap: Bootstrap
) -> LandmarkMetrics:
    """Compute every metric in every resample (axis 0), with the censoring curve estimated again in each."""
    censored, models = landmark.censoring, len(sample.survival)
    same_subjects, censored_weight = censored is landmark.test, censored.case_weight

    def metrics(resample: Resample) -> np.ndarray:
        resampled = _sample_of(sample, resample.evaluated)
        rows = resample.evaluated if same_subjects else resample.training
        weight = None if censored_weight is None else censored_weight[rows]
        censoring = censoring_curve(censored.duration[rows], censored.event[rows], weight=weight)
        return np.concatenate(
            [
                part.reshape(models, -1)
                for part in landmark_metrics(resampled, censoring=censoring, grid=grid, shown=shown)
            ],
            axis=1,
        )

    evaluated, training = (
        len(part.subject) if part.group is None else part.group for part in (landmark.test, censored)
    )
    values = bootstrap.values(metrics, subjects=evaluated, training=training, what=landmark.name)
    # Five metrics have a value for each horizon shown, the two integrated ones a single value.
    parts = np.split(values, np.cumsum([len(shown)] * 5 + [1]), axis=2)
    return LandmarkMetrics(*parts[:5], *(part[:, :, 0] for part in parts[5:]))


def _sample_of(sample: LandmarkSample, rows: np.ndarray) -> LandmarkSample:
    """Return the sample of a resample; with several rows for a subject its copies are one subject, as its rows are."""
    if sample.group is None:
        weight = None if sample.weight is None else sample.weight[rows]
        return LandmarkSample(sample.survival[:, rows], sample.duration[rows], sample.event[rows], weight)
    rows, count = np.unique(rows, return_counts=True)
    return LandmarkSample(
        sample.survival[:, rows],
        sample.duration[rows],
        sample.event[rows],
        count.astype(np.float64) if sample.weight is None else count * sample.weight[rows],
        sample.group[rows],
    )


@dataclass(frozen=True)
class _Table:
    """Metrics on the evaluated subjects and in the resamples, from which the rows of the table are made."""

    landmark: Landmark
    grid: np.ndarray
    shown: np.ndarray
    observed: LandmarkMetrics
    resampled: LandmarkMetrics | None
    has_interval: np.ndarray
    events_by: np.ndarray
    bootstrap: Bootstrap

    def row(self, number: int, comparator: LandmarkComparator) -> LandmarkRow:
        last = len(self.shown) - 1
        return LandmarkRow(
            name=comparator.name,
            role=comparator.role,
            cells=tuple(self._cell(number, horizon, comparator) for horizon in range(len(self.shown))),
            # Without an event by its end an integrated score means as little as the scores at the horizons, see _cell.
            ibs=self._estimate("ibs", (number,)) if self.events_by[-1] else None,
            inbll=self._estimate("inbll", (number,)) if self.events_by[-1] else None,
            ibs_difference=self._difference("ibs", (), number),
            c_difference=self._difference("c_harrell", (last,), number),
        )

    def notes(self) -> list[str]:
        """Return what has no value or no interval, and why."""
        without, eventless = self.shown[~self.has_interval & (self.events_by > 0)], self.shown[self.events_by == 0]
        notes = ["no ibs and no inbll: an integral needs two horizons"] if len(self.grid) == 1 else []
        if len(eventless):
            notes.append(f"no metrics by {self._listed(eventless)}: no event until then")
        if len(without):
            needed = self.bootstrap.min_events
            subjects = "events" if self.landmark.test.group is None else "subjects with the event"
            notes.append(f"no interval by {self._listed(without)}: fewer than {needed} {subjects} until then")
        if self.resampled is not None:
            parts = [part[..., self.has_interval] for part in self.resampled[:5]]
            if self.has_interval[-1] and len(self.grid) > 1:
                parts += [part[..., None] for part in self.resampled[5:]]
            undefined = max(int(np.isnan(part).any(axis=(1, 2)).sum()) for part in parts)
            if undefined:
                notes.append(
                    f"metrics without an interval are undefined in up to {undefined} of {self.bootstrap.resamples} "
                    "resamples"
                )
        return notes

    def _listed(self, horizons: np.ndarray) -> str:
        return f"{self.landmark.unit[:-1]} {', '.join(f'{horizon:g}' for horizon in horizons)}"

    def _cell(self, number: int, horizon: int, comparator: LandmarkComparator) -> LandmarkCell:
        # Without an event the Brier score of any model that predicts low risks is near 0 and would look good.
        has_events = bool(self.events_by[horizon])
        steps = int(np.searchsorted(self.grid, self.shown[horizon])) + 1
        return LandmarkCell(
            horizon=float(self.shown[horizon]),
            **{
                name: self._estimate(name, (number, horizon)) if has_events else None
                for name in ("c_harrell", "c_uno", "auc", "brier", "nbll")
            },
            d_calibration=d_calibration_until(comparator.survival, self.landmark.test, steps=steps),
            why_not=None if has_events else "no event until then",
        )

    def _estimate(self, name: str, at: tuple[int, ...]) -> Estimate | None:
        value = float(getattr(self.observed, name)[at])
        if np.isnan(value):
            return None
        horizon = at[1] if len(at) > 1 else -1
        if self.resampled is None or not self.has_interval[horizon]:
            return Estimate(value)
        return Estimate(value, self.bootstrap.interval(getattr(self.resampled, name)[(slice(None), *at)]))

    def _difference(self, name: str, at: tuple[int, ...], number: int) -> Difference | None:
        if self.resampled is None or number == 0:
            return None
        observed, values = getattr(self.observed, name), getattr(self.resampled, name)
        return self.bootstrap.difference(
            observed[(0, *at)] - observed[(number, *at)],
            values[(slice(None), 0, *at)],
            values[(slice(None), number, *at)],
        )


def _counts_of(landmark: Landmark) -> dict[str, Any]:
    test = landmark.test
    followed = test.step + 1.0 if landmark.unit == "steps" else test.duration
    several = test.group is not None
    return {
        "name": landmark.name,
        "unit": landmark.unit,
        "at_risk": len(followed),
        "events": int(test.event.sum()),
        "follow_up": float(np.median(followed)) if len(followed) else 0.0,
        "longest": float(followed.max(initial=0.0)),
        "subjects": len(np.unique(test.subject)) if several else None,
        "event_subjects": len(np.unique(test.subject[test.event])) if several else None,
    }


def _without_metrics(landmark: Landmark, reason: str) -> LandmarkResult:
    return LandmarkResult(
        **_counts_of(landmark),
        horizons=(),
        at_risk_after=(),
        events_by=(),
        unsupported=tuple(landmark.horizons.tolist()),
        rows=(),
        calibration=(),
        notes=(reason,),
    )
