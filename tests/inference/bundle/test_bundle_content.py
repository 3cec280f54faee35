"""Parts of a bundle whose values make no sense are refused, with a sentence that names them."""

import numpy as np
import pytest

from survlstm.inference.bundle.bundle import COHORT, METRICS, PREPROCESSING, REFERENCE, VOCABULARY, read_bundle
from survlstm.utils.errors import BundleError
from tests.inference.bundle.changed_bundles import changed_plain


def put_in(*path, value):
    """Return a function that sets the value at a path of keys."""

    def change(plain):
        holder = plain
        for key in path[:-1]:
            holder = holder[key]
        holder[path[-1]] = value
        return plain

    return change


@pytest.mark.parametrize("clock", ["visit"])
@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        (METRICS, put_in("training", "val_loss", value=np.nan), "numbers must be finite; found NaN"),
        (METRICS, put_in("training", "val_loss", value="2.1"), r"Metrics training\.val_loss: Input should be a valid"),
        (
            METRICS,
            put_in("training", "best_epoch", value=-1),
            r"Metrics training\.best_epoch: .* greater than or equal",
        ),
        (
            METRICS,
            put_in("test", "rows", 0, "c_td", "value", value="good"),
            r"test\.rows\.0\.c_td\.value: Input should",
        ),
        (
            METRICS,
            put_in("test", "rows", 0, "c_td", "interval", value={"low": 0.9, "high": 0.1}),
            "low must not be above high",
        ),
        (METRICS, put_in("test", "events", value=-1), r"Metrics test\.events: .* greater than or equal to 0"),
        (
            METRICS,
            put_in("diagnostics", value=[{"check": "c"}]),
            r"ReportedMetrics diagnostics\.0\.level: Field required",
        ),
        (METRICS, lambda _: [], "Metrics: Input should be a valid dictionary"),
        (
            COHORT,
            put_in("training", "visits_seen", "median", value=None),
            r"Cohort training\.visits_seen\.median: Input",
        ),
        (COHORT, put_in("subjects", value={}), r"Cohort subjects\.train: Field required"),
        (COHORT, put_in("vocabulary", value=np.inf), "numbers must be finite; found Infinity"),
    ],
)
def test_metrics_that_are_not_numbers_are_refused(written, name, change, said):
    with pytest.raises(BundleError, match=rf"must hold a model that this survlstm can build; found .*{said}"):
        read_bundle(changed_plain(written, name, change))


@pytest.mark.parametrize("clock", ["visit"])
def test_keys_of_a_later_version_among_the_metrics_are_kept(written):
    found = read_bundle(changed_plain(written, METRICS, put_in("test", "more", value={"a": 1})))
    assert found.metrics["test"]["more"] == {"a": 1}


@pytest.mark.parametrize("clock", ["visit"])
@pytest.mark.parametrize(
    ("name", "change"),
    [
        (VOCABULARY, lambda plain: plain[2:]),
        (VOCABULARY, lambda plain: plain[:-1]),
        (VOCABULARY, lambda plain: {}),
        (REFERENCE, lambda plain: plain | {"risk": []}),
        (REFERENCE, lambda plain: {key: value for key, value in plain.items() if key != "grid"}),
    ],
)
def test_parts_that_do_not_fit_are_refused(written, name, change):
    with pytest.raises(BundleError, match="must hold a model that this survlstm can build"):
        read_bundle(changed_plain(written, name, change))


def other_entry(number, **changes):
    return lambda plain: [*plain[:number], plain[number] | changes, *plain[number + 1 :]]


def put(**changes):
    return lambda plain: plain | changes


@pytest.mark.parametrize("clock", ["visit"])
@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        (VOCABULARY, other_entry(3, code="X/0"), "the vocabulary must hold each code once"),
        (VOCABULARY, other_entry(3, code=7), r"3\.code: Input should be a valid string"),
        (VOCABULARY, other_entry(3, description={"en": "three"}), r"3\.description: Input should be a valid string"),
        (VOCABULARY, other_entry(3, more=1), r"3\.more: Extra inputs are not permitted"),
        (PREPROCESSING, put(feature_mean=[0.0] * 4), r"feature_mean: List should have at least 5 items"),
        (PREPROCESSING, put(feature_spread=[1.0] * 11), r"feature_spread: List should have at most 10 items"),
        (PREPROCESSING, put(feature_mean=[0.0] * 4 + [np.nan]), r"feature_mean\.4: Input should be a finite number"),
        (PREPROCESSING, put(feature_mean=[[0.0]] * 5), r"feature_mean\.0: Input should be a valid number"),
        (
            PREPROCESSING,
            put(feature_spread=[1.0] * 4 + [np.inf]),
            r"feature_spread\.4: Input should be a finite number",
        ),
        (PREPROCESSING, put(feature_spread=[1.0] * 4 + [-1.0]), r"feature_spread\.4: .* greater than or equal to 0"),
        (PREPROCESSING, put(code_groups=[{"name": "a", "codes": []}]), "every code group must have exactly the parts"),
        (PREPROCESSING, put(vocabulary=["[PAD]", "[UNK]"]), r"vocabulary: Extra inputs are not permitted"),
        (PREPROCESSING, put(edge_days=[0.0, 1.0]), "edge_days must begin at 0, and be empty"),
        (REFERENCE, put(risk=[0.9, 0.1]), "risk must not fall"),
        (REFERENCE, put(risk=[-0.1, 0.1]), r"risk\.0: .* greater than or equal to 0"),
        (REFERENCE, put(risk=[0.1, 1.1]), r"risk\.1: .* less than or equal to 1"),
        (REFERENCE, put(risk=[0.1, np.nan]), r"risk\.1: Input should be a finite number"),
        (REFERENCE, put(grid=[0.0, 5.0, 1.0]), r"grid: Value error, must rise"),
        (REFERENCE, put(grid=[float(step) for step in range(11)]), "grid must begin above 0; found 0"),
        (REFERENCE, put(grid=[2.0, 4.0, 10.0]), "grid must hold the ends of the model's steps"),
        (REFERENCE, put(horizons=[99.0]), "horizons must lie above 0 and up to the grid's end"),
        (REFERENCE, put(horizons=[0.0, 1.0]), "horizons must lie above 0 and up to the grid's end"),
        (REFERENCE, put(horizons=[1.0, 1.0]), r"horizons: Value error, must rise"),
        (REFERENCE, put(horizons=[1.5]), "horizons must be whole numbers of visits"),
        (REFERENCE, put(drift=None), "drift must be set on the visit clock and null on the other clocks"),
        (REFERENCE, put(drift=[0.0, np.nan, 0.0]), r"drift\.1: Input should be a finite number"),
    ],
)
def test_content_that_makes_no_sense_is_refused(written, name, change, said):
    with pytest.raises(BundleError, match=rf"must hold a model that this survlstm can build; found .*{said}"):
        read_bundle(changed_plain(written, name, change))


@pytest.mark.parametrize("clock", ["landmark"])
@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        (PREPROCESSING, put(edge_days=[0.0, 73.0, 146.0, 300.0, 292.0, 365.0]), "edge_days: Value error, must rise"),
        (PREPROCESSING, put(edge_days=[1.0, 73.0, 146.0, 219.0, 292.0, 365.0]), "edge_days must begin at 0"),
        (PREPROCESSING, put(edge_days=[]), "edge_days must begin at 0"),
        (REFERENCE, put(grid=[73.0, 146.0, 219.0, 300.0, 365.0]), "grid must hold the ends of the model's steps"),
        (REFERENCE, put(drift=[0.0, 0.0, 0.0]), "drift must be set on the visit clock and null on the other clocks"),
    ],
)
def test_content_that_makes_no_sense_on_the_landmark_clock_is_refused(written, name, change, said):
    with pytest.raises(BundleError, match=rf"must hold a model that this survlstm can build; found .*{said}"):
        read_bundle(changed_plain(written, name, change))


@pytest.mark.parametrize("clock", ["days"])
@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        (PREPROCESSING, put(prediction_mean=[]), "prediction_mean: List should have at least 1 item"),
        (PREPROCESSING, put(prediction_mean=None, prediction_spread=None), "must be that of the days clock"),
        (REFERENCE, put(stale_days=None), "stale_days must be set on the days clock and null on the other clocks"),
        (REFERENCE, put(drift=[0.0, 0.0, 0.0]), "drift must be set on the visit clock and null on the other clocks"),
    ],
)
def test_content_that_makes_no_sense_on_the_days_clock_is_refused(written, name, change, said):
    with pytest.raises(BundleError, match=rf"must hold a model that this survlstm can build; found .*{said}"):
        read_bundle(changed_plain(written, name, change))
