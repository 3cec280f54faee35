"""Tests of bundles: a written model is read unchanged to the last bit, and no code in the file is run."""

import json
import pickle
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load, save

from survlstm.config.schema.section import as_yaml
from survlstm.data.split import Split
from survlstm.inference.bundle.bundle import (
    COHORT,
    CONFIG,
    METRICS,
    MOST_BYTES,
    PREPROCESSING,
    REFERENCE,
    VOCABULARY,
    WEIGHTS,
    read_bundle,
    write_bundle,
)
from survlstm.inference.bundle.container import INDEX, read_container, write_container
from survlstm.inference.predictor import Predictor
from survlstm.models import factory
from survlstm.training.prediction import predict_split
from survlstm.utils.errors import BundleError, ClosedClassError
from tests.bundles import bundle_on, config_on, meds
from tests.learning import CPU, batches_of, prepared_on
from tests.records import random_records


@pytest.fixture(params=["visit", "landmark", "days"])
def clock(request):
    return request.param


@pytest.fixture
def written(tmp_path, clock):
    write_bundle(bundle_on(clock), tmp_path / "bundle", figures={"c_td.png": b"png"}, extras={"model.onnx": b"onnx"})
    return tmp_path / "bundle"


def test_the_model_that_comes_back_predicts_the_same_to_the_last_bit(written, clock):
    batches = batches_of(prepared_on(clock), Split.TEST)
    one, other = (predict_split(bundle.model, batches, CPU) for bundle in (bundle_on(clock), read_bundle(written)))
    np.testing.assert_array_equal(one.hazard, other.hazard)


def test_a_bundle_of_before_with_five_features_predicts_the_same(written, clock):
    def of_before(plain):
        return plain | {name: plain[name][:5] for name in ("feature_mean", "feature_spread")}

    earlier = Predictor(read_bundle(changed_plain(written, PREPROCESSING, of_before)))
    table = meds(random_records(5, seed=1))
    expected = Predictor(bundle_on(clock)).predict(table).table
    assert len(expected) > 0
    np.testing.assert_array_equal(earlier.predict(table).table["risk"], expected["risk"])


def test_all_else_comes_back(written, clock):
    one, other = bundle_on(clock), read_bundle(written)
    assert (one.about, one.reference, one.card) == (other.about, other.reference, other.card)
    assert one.config == other.config
    assert one.preprocessing.as_plain() == other.preprocessing.as_plain()
    assert (one.cohort, one.metrics) == (other.cohort, other.metrics)
    known = set(one.preprocessing.vocabulary.entries)
    assert other.descriptions == {code: text for code, text in one.descriptions.items() if code in known}


def everything_in(folder):
    return read_container(folder, json.loads((folder / INDEX).read_text())["files"])


def changed(folder, name, change):
    """Copy a bundle with one file changed and the checksums updated to match."""
    container = everything_in(folder)
    other = folder.with_name("changed")
    write_container(other, container.files | {name: change(container.files[name])}, container.about)
    return other


def changed_plain(folder, name, change):
    return changed(folder, name, lambda data: json.dumps(change(json.loads(data))).encode())


class Mischief:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return (Path.touch, (self.file,))


@pytest.mark.parametrize("clock", ["visit"])
def test_code_in_the_file_of_weights_is_not_run(written, tmp_path):
    other = changed(written, WEIGHTS, lambda _: pickle.dumps(Mischief(tmp_path / "run")))
    with pytest.raises(BundleError, match="must hold a model that this survlstm can build"):
        read_bundle(other)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("clock", ["visit"])
@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("model", "hidden_dim", 17),
        ("model", "hidden_dim", "${oc.env:HOME}"),
        ("data", "unheard_of", 1),
    ],
)
def test_another_config_is_refused(written, section, key, value):
    def change(data):
        config = yaml.safe_load(data)
        config[section][key] = value
        return yaml.safe_dump(config).encode()

    with pytest.raises(BundleError, match="must hold a model that this survlstm can build"):
        read_bundle(changed(written, CONFIG, change))


@pytest.mark.parametrize("clock", ["visit"])
@pytest.mark.parametrize("section", ["model", "outcome"])
def test_a_class_that_the_bundle_alone_names_is_not_imported(written, section):
    def change(data):
        config = yaml.safe_load(data)
        config[section]["_target_"] = "os.system"
        return yaml.safe_dump(config).encode()

    other = changed(written, CONFIG, change)
    with pytest.raises(ClosedClassError, match=rf"^{section}\._target_ is os\.system, .*add allow=\[os\.system\]"):
        read_bundle(other)


@pytest.mark.parametrize("clock", ["visit"])
def test_a_model_that_the_weights_do_not_hold_is_not_built(written, monkeypatch):
    def change(data):
        config = yaml.safe_load(data)
        config["model"] |= {"num_layers": 64, "hidden_dim": 16384, "embedding_dim": 16384}
        return yaml.safe_dump(config).encode()

    def build_model(*settings, **sizes):
        model = real(*settings, **sizes)
        assert all(weight.is_meta for weight in model.state_dict().values())
        return model

    real = factory.build_model
    other = changed(written, CONFIG, change)
    monkeypatch.setattr("survlstm.models.factory.build_model", build_model)
    with pytest.raises(BundleError, match=r"the weights must be those of the config's model; \d+ differ, such as lstm"):
        read_bundle(other)


@pytest.mark.parametrize("clock", ["visit"])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda weights: weights | {"more": torch.zeros(1)}, "1 differ, such as more"),
        (lambda weights: {"head.0.bias": weights["head.0.bias"]}, r"\d+ differ, such as"),
        (lambda weights: weights | {"head.0.bias": torch.zeros(17)}, r"head\.0\.bias must be \[16\], is \[17\]"),
        (
            lambda weights: weights | {"head.0.bias": torch.zeros(16, dtype=torch.float64)},
            r"head\.0\.bias must be \[16\], is \[16\] torch\.float64",
        ),
        (lambda weights: weights | {"head.0.bias": torch.full((16,), torch.inf)}, "the weights must be finite; 1 of"),
    ],
)
def test_other_weights_are_refused(written, change, said):
    with pytest.raises(BundleError, match=said):
        read_bundle(changed(written, WEIGHTS, lambda data: save(change(load(data)))))


def test_weights_that_give_predictions_that_are_not_finite_are_refused(written, clock):
    huge = changed(written, WEIGHTS, lambda data: save({name: one * 1e30 for name, one in load(data).items()}))
    predictor, events = Predictor(read_bundle(huge)), meds(random_records(3, seed=9))
    for job in (predictor.predict, *([] if clock == "days" else [predictor.predict_survival])):
        with pytest.raises(BundleError, match=r"a model's predictions must be finite; \d+ of \d+ are not"):
            job(events)


@pytest.mark.parametrize("clock", ["visit"])
def test_an_index_that_counts_other_parameters_is_refused(written, tmp_path):
    container = everything_in(written)
    write_container(tmp_path / "other", container.files, container.about | {"parameters": 7})
    with pytest.raises(BundleError, match=r"the index must hold the number of parameters, [\d,]+; found 7"):
        read_bundle(tmp_path / "other")


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
@pytest.mark.parametrize("name", sorted(MOST_BYTES))
def test_a_part_that_is_larger_than_any_export_makes_it_is_not_read(written, name):
    other = changed(written, name, lambda data: data + b" " * 10)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MOST_BYTES, name, (written / name).stat().st_size + 9)
        with pytest.raises(BundleError, match=rf"{name} of a bundle must have at most [\d,]+ bytes; .* lists"):
            read_bundle(other)


@pytest.mark.parametrize("clock", ["visit"])
def test_a_few_lines_of_yaml_do_not_become_gigabytes(written):
    laughs = "a: &a [x, x, x, x, x, x, x, x]\n" + "".join(
        f"{new}: &{new} [{', '.join([f'*{old}'] * 8)}]\n" for old, new in pairwise("abcdefghijkl")
    )
    with pytest.raises(BundleError, match="aliases are not read"):
        read_bundle(changed(written, CONFIG, lambda _: laughs.encode()))


@pytest.mark.parametrize("clock", ["visit"])
def test_yaml_that_would_make_objects_is_refused(written, tmp_path):
    text = f"!!python/object/apply:os.mkdir [{tmp_path / 'run'}]\n"
    with pytest.raises(BundleError, match="ConstructorError"):
        read_bundle(changed(written, CONFIG, lambda _: text.encode()))
    assert not (tmp_path / "run").exists()


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


def test_an_index_of_the_other_clock_is_refused(written, tmp_path, clock):
    container = everything_in(written)
    other, unit = {"visit": ("landmark", "days")}.get(clock, ("visit", "visits"))
    for name, changes, said in (
        ("clock", {"clock": other, "unit": unit}, f"clock.kind must be {other}, as the index says"),
        ("unit", {"unit": unit}, f"the unit of the {clock} clock must not be {unit}"),
    ):
        write_container(tmp_path / name, container.files, container.about | changes)
        with pytest.raises(BundleError, match=said):
            read_bundle(tmp_path / name)


@pytest.mark.parametrize("clock", ["visit"])
def test_a_config_of_the_other_clock_is_refused(written):
    text = as_yaml(config_on("landmark")).encode()
    with pytest.raises(BundleError, match=r"clock\.kind must be visit, as the index says"):
        read_bundle(changed(written, CONFIG, lambda _: text))


def test_weights_that_are_not_finite_are_refused(tmp_path):
    bundle = bundle_on("visit")
    weight = bundle.model.head[0].bias
    kept = weight.data.clone()
    try:
        weight.data[0] = torch.nan
        write_bundle(bundle, tmp_path / "broken", figures={}, extras={})
    finally:
        weight.data = kept
    with pytest.raises(BundleError, match="the weights must be finite; 1 of"):
        read_bundle(tmp_path / "broken")


@pytest.mark.parametrize("clock", ["visit"])
def test_a_part_that_is_missing_is_named(written, tmp_path):
    container = everything_in(written)
    files = {name: data for name, data in container.files.items() if name != CONFIG}
    write_container(tmp_path / "other", files, container.about)
    with pytest.raises(BundleError, match=r"KeyError: 'config\.yaml'"):
        read_bundle(tmp_path / "other")
