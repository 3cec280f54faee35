"""Tests of bundles: a written model is read unchanged to the last bit, and no code in the file is run."""

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
    CONFIG,
    MOST_BYTES,
    PREPROCESSING,
    WEIGHTS,
    read_bundle,
    write_bundle,
)
from survlstm.inference.bundle.container import write_container
from survlstm.inference.predictor import Predictor
from survlstm.models import factory
from survlstm.training.prediction import predict_split
from survlstm.utils.errors import BundleError, ClosedClassError
from tests.bundles import bundle_on, config_on, meds
from tests.inference.bundle.changed_bundles import changed, changed_plain, everything_in
from tests.learning import CPU, batches_of, prepared_on
from tests.records import random_records


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
