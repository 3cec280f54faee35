"""Compute the reference predictions and the cohort summary of a bundle from a run's own data."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import nn

from survlstm.config.schema.run import RunConfig
from survlstm.data.factory import build_batches
from survlstm.data.prepared_data import PreparedData
from survlstm.data.split import Split
from survlstm.data.tensors import Tensors
from survlstm.data.values.measures import FittedValues
from survlstm.data.values.settings import ValueForm
from survlstm.evaluation.hazard_extrapolation import HazardExtrapolation, fit_hazard_extrapolation, log_odds
from survlstm.inference.bundle.bundle import ReferencePredictions
from survlstm.inference.bundle.trained_times import prediction_times_summary, spread_of, stale_days
from survlstm.training.prediction import Predictions, predict_split
from survlstm.utils.formatting import FEWEST_SHOWN, format_subjects
from survlstm.utils.ragged import flat_positions

# Percentiles need no finer quantiles; coarse and rounded ones do not disclose the risk of a single subject.
QUANTILES, DIGITS = 101, 4
SHOWN_CODES = 20


def make_reference(model: nn.Module, config: RunConfig, prepared: PreparedData) -> ReferencePredictions:
    """Compute the predictions to which later predictions are compared.

    On the visit clock the reference risks are those after every visit at risk of the training subjects, with the same
    total weight for each subject. On the days clock they are those at every prediction time to train on, with the same
    weight for each. The hazard extrapolation is fitted on the validation subjects, from each of their visits on.

    Args:
        model: the trained model.
        config: config of the run.
        prepared: data of the run, with the splits of the training.

    Returns:
        Quantiles of the training subjects' risks, the grid, the horizons and the hazard extrapolation; the risk is that
        of the event by the end of the grid.

    Raises:
        OutOfMemoryError: the memory does not suffice for a single subject.
    """
    device, tensors = torch.device("cpu"), prepared.tensors
    tables = [count.table for count in prepared.flow.tables if count.rows_used]
    train, val = (
        predict_split(model, build_batches(config, tensors, part), device) for part in (Split.TRAIN, Split.VAL)
    )
    steps = config.evaluation.landmarks.horizons
    if tensors.in_days:
        ends = tensors.edge_days[1:]
        shown = sorted({float(ends[min(step, len(ends)) - 1]) for step in steps})
        risk = _quantiles(1 - train.survival[:, -1], np.ones(len(train.row)))
        stale = stale_days(tensors) if tensors.clock == "days" else None
        return ReferencePredictions(
            risk=risk, grid=ends.tolist(), horizons=shown, drift=None, tables=tables, stale_days=stale
        )
    drift = _drift(val, steps=max(steps))
    hazard = train.hazard[np.isfinite(train.hazard)]
    survival = np.cumprod(1 - drift.hazard(log_odds(hazard), steps=max(steps)), axis=1)
    return ReferencePredictions(
        risk=_quantiles(1 - survival[:, -1], np.repeat(1 / (train.step + 1), train.step + 1)),
        grid=[float(step) for step in range(1, max(steps) + 1)],
        horizons=[float(step) for step in sorted(steps)],
        drift=(drift.shift, drift.slope, drift.centre),
        tables=tables,
    )


def _drift(predictions: Predictions, *, steps: int) -> HazardExtrapolation:
    """Fit the hazard extrapolation on every visit of every subject and the steps at risk after that visit."""
    at_risk = predictions.step + 1
    number = flat_positions(np.zeros_like(at_risk), at_risk)
    row = np.repeat(np.arange(len(at_risk)), at_risk)
    return fit_hazard_extrapolation(
        log_odds(predictions.hazard[row, number]),
        step=predictions.step[row] - number,
        event=predictions.event[row],
        steps=steps,
    )


def _quantiles(risk: Float64[np.ndarray, " row"], weight: Float64[np.ndarray, " row"]) -> list[float]:
    """Compute equally spaced quantiles of a weighted sample, rounded to ``DIGITS`` significant digits.

    They are interpolated linearly between the midpoints of the sorted weights.
    """
    order = np.argsort(risk, kind="stable")
    middle = np.cumsum(weight[order]) - weight[order] / 2
    quantiles = np.interp(np.linspace(0, 1, QUANTILES), middle / weight.sum(), risk[order])
    return [float(f"{value:.{DIGITS}g}") for value in quantiles]


def cohort_summary(
    prepared: PreparedData, descriptions: dict[str, str], *, form: ValueForm, times: str = ""
) -> dict[str, Any]:
    """Summarise the training cohort, so that users can compare their own with it.

    Counts of fewer than ``FEWEST_SHOWN`` subjects are suppressed.

    Args:
        prepared: data of the run, with the splits of the training.
        descriptions: description of a code by its name.
        form: how numerical values are used.
        times: prediction times of the training in words, on the days clock.

    Returns:
        The content of cohort.json, see ``TrainingCohort``.
    """
    tensors = prepared.tensors
    members = tensors.members(Split.TRAIN)
    visits = tensors.visits_per_subject[members]
    rows = flat_positions(tensors.visit_offsets[members], visits)
    owner = np.repeat(np.arange(len(members)), visits)
    codes = tensors.code_offsets[rows + 1] - tensors.code_offsets[rows]
    code = tensors.code[flat_positions(tensors.code_offsets[rows], codes)]
    pairs = np.unique(np.repeat(owner, codes) * len(prepared.vocabulary) + code) % len(prepared.vocabulary)
    having = np.bincount(pairs, minlength=len(prepared.vocabulary))
    common = [number for number in np.argsort(-having, kind="stable") if number > 1 and having[number] >= FEWEST_SHOWN]
    entries = prepared.vocabulary.entries
    return {
        "subjects": {part.name.lower(): len(tensors.members(part)) for part in Split},
        "training": {
            "subjects": len(members),
            "events": int(tensors.has_event[members].sum()),
            "visits_seen": spread_of(visits),
            "codes_per_visit": spread_of(codes - tensors.added_codes[rows]),
            "follow_up_days": spread_of(tensors.duration_days[_first_row(tensors, members)]),
            "years": [int(year) for year in np.quantile(_years(tensors.visit_time[rows]), (0.05, 0.95))],
        },
        **({"prediction_times": prediction_times_summary(prepared, times)} if tensors.clock == "days" else {}),
        "vocabulary": len(entries),
        "codes_of_fewer_than_ten_training_subjects": int(
            ((having < FEWEST_SHOWN) & (np.arange(len(entries)) > 1)).sum()
        ),
        "entries_unknown_to_it": prepared.flow.codes_unknown,
        "values": _values_summary(prepared.preprocessing.values, form),
        "most_common_codes": [
            {
                "code": entries[number],
                "description": descriptions.get(entries[number], ""),
                "share_of_training_subjects": round(float(having[number] / len(members)), 3),
            }
            for number in common[:SHOWN_CODES]
        ],
        "excluded": [
            {"reason": rule.reason, "subjects": format_subjects(rule.subjects), "events": format_subjects(rule.events)}
            for rule in prepared.flow.subjects_excluded
            if rule.subjects
        ],
        "warnings": list(prepared.flow.warnings),
    }


def _values_summary(fitted: FittedValues | None, form: ValueForm) -> dict[str, Any]:
    measures = fitted.measures if fitted else ()
    return {
        "form": form,
        "measures": len(measures),
        "with_bins": sum(bool(each.edges) for each in measures),
        "with_columns": sum(bool(each.knots) for each in measures),
    }


def _first_row(tensors: Tensors, members: np.ndarray) -> np.ndarray:
    """Return the first row to train on of each subject; on the other clocks a row is a subject."""
    rows = tensors.rows_of(members)
    return rows[np.unique(tensors.row_subject[rows], return_index=True)[1]]


def _years(time: np.ndarray) -> np.ndarray:
    return time.astype("datetime64[Y]").astype(np.int64) + 1970
