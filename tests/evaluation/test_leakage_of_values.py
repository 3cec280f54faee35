"""Ranks of values against the loop over pairs, on both clocks and in both forms; predictions of another model."""

from dataclasses import replace

import numpy as np
import pytest

from survlstm.data.features import FEATURES
from survlstm.data.values.apply import COLUMN_SCALE
from survlstm.data.values.fit import _fit_measure
from survlstm.data.values.measures import FittedValues
from survlstm.evaluation.leakage_of_values import deciding_values, discrimination_by_value, predicted_survival
from survlstm.survival.concordance import concordance_td
from tests.prepared import unscaled_state
from tests.tensors import flat_tensors


def valued(value, *, visits, step, event, most_bins=1, duration_days=None, edge_days=()):
    """Tensors of one measure, as columns or as bins; ``value`` is [visit], NaN where it was not measured."""
    fitted = np.sort(value[~np.isnan(value)]).astype(np.float32)
    measure = _fit_measure("score", "", fitted, most_bins=most_bins, fewest=1, with_scores=most_bins == 1)
    entries = ("[PAD]", "[UNK]", *measure.bin_codes)
    known = ~np.isnan(value)
    features = np.zeros((len(value), len(FEATURES) + 3 * (most_bins == 1)))
    codes = np.zeros(len(value), dtype=int)
    if most_bins > 1:
        codes = known.astype(int)
    else:
        last = carried(value, visits)
        seen = ~np.isnan(last)
        features[seen, -3] = measure.score(last[seen].astype(np.float32)) * COLUMN_SCALE
        features[seen, -1] = COLUMN_SCALE
    bins = 2 + np.searchsorted(measure.edges, value[known], side="right") if most_bins > 1 else []
    tensors = flat_tensors(
        step=step,
        event=event,
        visits=visits,
        codes_per_visit=codes,
        code=bins,
        features=features,
        duration_days=duration_days,
        edge_days=edge_days,
    )
    state = unscaled_state(entries, edges=tensors.edge_days, values=FittedValues((measure,)))
    return tensors, state


def carried(value, visits):
    """The last value so far at each visit."""
    last, place = value.copy(), 0
    for count in visits:
        for visit in range(place + 1, place + count):
            last[visit] = value[visit] if not np.isnan(value[visit]) else last[visit - 1]
        place += count
    return last


@pytest.mark.parametrize("most_bins", [1, 5])
@pytest.mark.parametrize("clock", ["visit", "landmark"])
@pytest.mark.parametrize("seed", range(3))
def test_a_value_ranks_as_the_c_index_says(seed, clock, most_bins):
    generator = np.random.default_rng(seed)
    step = generator.integers(0, 6, 80)
    event = generator.random(80) < 0.6
    visits = step + 1 if clock == "visit" else generator.integers(1, 5, 80)
    # Ten values, so that no two share a group, and every subject has one from the first visit on.
    value = generator.integers(1, 11, visits.sum()).astype(float)
    first = np.cumsum(visits) - visits
    gaps = np.setdiff1d(np.flatnonzero(generator.random(len(value)) < 0.3), first)
    value[gaps] = np.nan
    edge_days = np.arange(8.0) if clock == "landmark" else ()
    tensors, state = valued(value, visits=visits, step=step, event=event, most_bins=most_bins, edge_days=edge_days)
    (found,) = discrimination_by_value(tensors, np.arange(80), state)
    last = carried(value, visits)
    if most_bins > 1:
        last = np.where(np.isnan(last), np.nan, np.searchsorted(state.values.measures[0].edges, last, side="right"))
    risk = np.array(
        [
            [
                last[first[one] + (min(number, visits[one] - 1) if clock == "visit" else visits[one] - 1)]
                for number in range(6)
            ]
            for one in range(80)
        ]
    )
    assert found.c_td == pytest.approx(concordance_td(-risk, step=step, event=event).c_td, abs=1e-12)
    assert (found.subjects, found.events) == (80, event.sum())
    assert 0.3 < found.c_td < 0.7


def test_without_values_or_events_nothing_is_ranked():
    value, visits = np.arange(1.0, 61), np.ones(60, dtype=int)
    tensors, state = valued(value, visits=visits, step=np.zeros(60, dtype=int), event=np.zeros(60, dtype=bool))
    (found,) = discrimination_by_value(tensors, np.arange(60), state)
    assert np.isnan(found.c_td)
    assert (found.subjects, found.events) == (60, 0)
    assert discrimination_by_value(tensors, np.arange(60), replace(state, values=None)) == ()


def cohort(seed=0, subjects=1500):
    """Subjects with one visit, exponential times to the event by their rate, and censoring; times in days."""
    generator = np.random.default_rng(seed)
    rate = np.exp(generator.normal(-6, 1.2, subjects))
    life, seen = generator.exponential(1 / rate), generator.uniform(200, 2000, subjects)
    return rate, np.minimum(life, seen), life <= seen


def prediction_of(value, duration, event, **form):
    tensors, state = valued(
        value,
        visits=np.ones(len(value), dtype=int),
        step=(duration // 500).astype(int),
        event=event,
        duration_days=duration,
        edge_days=np.arange(5) * 500.0,
        **form,
    )
    return predicted_survival(tensors, np.arange(len(value)), state)


@pytest.mark.parametrize("most_bins", [1, 5])
def test_the_predictions_of_another_model_are_found_with_their_horizon(most_bins):
    rate, duration, event = cohort()
    survival = np.exp(-180 * rate)
    (found,) = prediction_of(survival, duration, event, most_bins=most_bins)
    assert not found.is_risk
    assert 90 < found.day < 360
    (risk,) = prediction_of(1 - survival, duration, event, most_bins=most_bins)
    assert risk.is_risk


@pytest.mark.parametrize("seed", range(3))
def test_a_strong_predictor_is_no_prediction(seed):
    rate, duration, event = cohort(seed)
    shares = np.argsort(np.argsort(rate)) / len(rate)
    rough = np.clip(0.45 + 0.08 * np.log(rate / np.median(rate)), 0, 1)
    # In its own unit, as a share that hardly varies with the risk, and of noise.
    for value in (1e4 * rate, 0.5 + 0.01 * shares, rough, np.random.default_rng(seed).random(len(rate))):
        assert prediction_of(value, duration, event) == ()


def test_a_category_in_numbers_that_decides_is_found_without_bins():
    event = np.arange(300) < 150
    value = np.where(np.arange(300) < 100, 1.0, 0.0)
    form = {"visits": np.ones(300, dtype=int), "step": np.zeros(300, dtype=int), "edge_days": (0.0, 100.0)}
    tensors, state = valued(value, event=event, **form)
    found = deciding_values(tensors, np.arange(300), state)
    assert [(one.code, one.absent, one.subjects) for one in found] == [
        ("score = 0", True, 100),
        ("score = 1", False, 100),
    ]
    tensors, state = valued(np.arange(300.0), event=event, **form)
    assert deciding_values(tensors, np.arange(300), state) == ()
