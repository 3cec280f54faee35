"""A bundle written and read: the same model to the last bit, and no code of the file is run."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from survlstm.bundle.bundle import CONFIG, REFERENCE, VOCABULARY, WEIGHTS, Reference, read_bundle, write_bundle
from survlstm.bundle.container import read_container, write_container
from survlstm.data.split import Split
from survlstm.errors import BundleError
from survlstm.training.prediction import predict
from tests.bundles import bundle_on
from tests.learning import CPU, batches_of, prepared_on


@pytest.fixture(params=["visit", "landmark"])
def clock(request):
    return request.param


@pytest.fixture
def written(tmp_path, clock):
    write_bundle(bundle_on(clock), tmp_path / "bundle", figures={"c_td.png": b"png"}, extras={"model.onnx": b"onnx"})
    return tmp_path / "bundle"


def test_the_model_that_comes_back_predicts_the_same_to_the_last_bit(written, clock):
    batches = batches_of(prepared_on(clock), Split.TEST)
    one, other = (predict(bundle.model, batches, CPU) for bundle in (bundle_on(clock), read_bundle(written)))
    np.testing.assert_array_equal(one.hazard, other.hazard)


def test_all_else_comes_back(written, clock):
    one, other = bundle_on(clock), read_bundle(written)
    assert (one.about, one.reference, one.card) == (other.about, other.reference, other.card)
    assert one.config == other.config
    assert one.fitted.as_plain() == other.fitted.as_plain()
    assert (one.cohort, one.metrics) == (other.cohort, other.metrics)
    known = set(one.fitted.vocabulary.entries)
    assert other.descriptions == {code: text for code, text in one.descriptions.items() if code in known}


def changed(folder, name, change):
    """A bundle whose sums are right and whose content is another's."""
    container = read_container(folder)
    other = folder.with_name("changed")
    write_container(other, container.files | {name: change(container.files[name])}, container.about)
    return other


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
        ("model", "_target_", "os.system"),
        ("outcome", "_target_", "os.system"),
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
        read_bundle(changed(written, name, lambda data: json.dumps(change(json.loads(data))).encode()))


def test_weights_that_are_not_finite_are_refused(tmp_path):
    bundle = bundle_on("visit")
    weight = bundle.model.head[0].bias
    kept = weight.data.clone()
    try:
        weight.data[0] = torch.nan
        write_bundle(bundle, tmp_path / "broken", figures={}, extras={})
    finally:
        weight.data = kept
    with pytest.raises(BundleError, match="some of its weights are not finite"):
        read_bundle(tmp_path / "broken")


@pytest.mark.parametrize("clock", ["visit"])
def test_a_part_that_is_missing_is_named(written, tmp_path):
    container = read_container(written)
    files = {name: data for name, data in container.files.items() if name != CONFIG}
    write_container(tmp_path / "other", files, container.about)
    with pytest.raises(BundleError, match=r"KeyError: 'config\.yaml'"):
        read_bundle(tmp_path / "other")


def test_a_percentile_is_the_share_below_and_half_of_those_at_it():
    even = Reference(risk=np.linspace(0.1, 0.9, 9).tolist(), grid=[1.0], horizons=[1.0], drift=None, tables=[])
    found = even.percentile(np.array([0.0, 0.1, 0.5, 0.55, 0.9, 1.0]))
    np.testing.assert_allclose(found, [0, 0, 50, 56.25, 100, 100])
    tied = Reference(risk=[0.2, 0.2, 0.2, 0.2, 0.4], grid=[1.0], horizons=[1.0], drift=None, tables=[])
    np.testing.assert_allclose(tied.percentile(np.array([0.1, 0.2, 0.4])), [0, 37.5, 100])
    same = Reference(risk=[0.3, 0.3], grid=[1.0], horizons=[1.0], drift=None, tables=[])
    np.testing.assert_allclose(same.percentile(np.array([0.1, 0.3, 0.5])), [0, 50, 100])
