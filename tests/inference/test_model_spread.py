"""Tests of RiskSpread and ExtremeSubjects on predictions that are added part by part."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from survlstm.inference import model_spread
from survlstm.inference.model_spread import ExtremeSubjects, RiskSpread, subject_curve


def predictions(subjects, *, seed=0, times=4):
    """Make predictions with uniform risks, percentiles that rise with the risk, and curves that fall to 1 - risk."""
    risk = np.random.default_rng(seed).uniform(size=subjects)
    curves = 1 - risk[:, None] * np.linspace(1 / times, 1, times)
    return pd.DataFrame(
        {
            "subject_id": [f"s{number:06d}" for number in range(subjects)],
            "history_end": np.datetime64("2020-01-31T10:00:00"),
            "visits": 3,
            "entries": 20,
            "entries_unknown": 2,
            "risk": risk,
            "percentile": 100 * risk**1.2,
            "survival_2": curves[:, 1],
            "curve": list(curves),
        }
    )


def added(table, *, at_once):
    found, ends = RiskSpread(4), ExtremeSubjects()
    for start in range(0, len(table), at_once):
        found.add(table.iloc[start : start + at_once])
        ends.add(table.iloc[start : start + at_once])
    return found, ends


@pytest.mark.parametrize("at_once", [1, 7, 300])
def test_a_small_cohort_is_exact_whatever_its_parts(at_once):
    table = predictions(300)
    found, ends = added(table, at_once=at_once)
    cuts = [(0, 100 / 3), (100 / 3, 200 / 3), (200 / 3, 100)]
    for group, (low, high) in zip(found.groups(), cuts, strict=True):
        inside = table[(table["percentile"] >= low) & (table["percentile"] < high)]
        curves = np.stack(inside["curve"].to_list())
        assert group.subjects == len(inside) > 10
        np.testing.assert_allclose(group.mean, curves.mean(axis=0))
        np.testing.assert_allclose([group.low, group.high], np.quantile(curves, [0.1, 0.9], axis=0))
    ordered = table.sort_values("risk", ignore_index=True)
    assert found.median()["subject_id"] == ordered["subject_id"][149]
    assert ends.lowest["subject_id"] == ordered["subject_id"][0]
    assert ends.highest["subject_id"] == ordered["subject_id"][299]
    assert not found.is_sampled


def test_the_sample_of_a_large_cohort_does_not_depend_on_its_parts(monkeypatch):
    monkeypatch.setattr(model_spread, "SAMPLE", 200)
    table = predictions(3000)
    found, _ = added(table, at_once=500)
    again, _ = added(table.iloc[::-1], at_once=170)
    assert found.is_sampled
    kept = [group._sample for group in found._groups]
    assert [len(sample) for sample in kept] == [200, 200, 200]
    for one, other in zip(found.groups(), again.groups(), strict=True):
        np.testing.assert_allclose(one.mean, other.mean)
        np.testing.assert_array_equal(one.low, other.low)
    for group, number in zip(found.groups(), range(3), strict=True):
        inside = table[np.searchsorted(model_spread.CUTS, table["percentile"], side="right") == number]
        curves = np.stack(inside["curve"].to_list())
        np.testing.assert_allclose(group.mean, curves.mean(axis=0))
        np.testing.assert_allclose([group.low, group.high], np.quantile(curves, [0.1, 0.9], axis=0), atol=0.04)
    assert found.median()["risk"] == pytest.approx(table["risk"].median(), abs=0.04)


def test_groups_without_a_subject_have_no_curve():
    found = RiskSpread(4)
    found.add(predictions(0))
    assert [group.subjects for group in found.groups()] == [0, 0, 0]
    assert all(np.isnan(group.mean).all() for group in found.groups())
    with pytest.raises(ValueError, match="a median needs a subject"):
        found.median()


def test_a_third_begins_at_its_cut():
    table = predictions(3).assign(percentile=[np.nextafter(100 / 3, 0), 100 / 3, 200 / 3])
    assert [group.subjects for group in added(table, at_once=3)[0].groups()] == [1, 1, 1]


def test_a_row_becomes_a_curve():
    row = predictions(1).iloc[0]
    found = subject_curve(row, name="subject 1", horizons=(2.0,), chosen_as="lowest risk")
    assert (found.name, found.visits, found.entries, found.entries_unknown) == ("subject 1", 3, 20, 2)
    assert found.at_horizons == (row["survival_2"],)
    # The value for the page holds neither the id nor a date of the row.
    assert not any(str(value) in str(found) for value in (row["subject_id"], "2020-01-31"))
