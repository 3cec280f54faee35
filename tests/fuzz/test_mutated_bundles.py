"""Bundles changed at random: one sentence or the same predictions, never a traceback.

Bytes are changed as a disk changes them: nothing of that may become data. Values are changed under sums that fit again,
as whoever wrote the file could: what is accepted then is of the right kind, and nothing in it is looked up or run.
"""

import json
import random
import shutil

import numpy as np
import pytest
import yaml
from safetensors import SafetensorError
from safetensors.torch import load as load_weights
from safetensors.torch import save as save_weights

from survlstm.inference.bundle.bundle import CONFIG, WEIGHTS, read_bundle, write_bundle
from survlstm.inference.bundle.card import write_card
from survlstm.inference.bundle.container import INDEX, read_container, write_container
from survlstm.inference.predictor import Predictor
from survlstm.utils.errors import BundleError, SurvlstmError
from tests.bundles import bundle_on, meds
from tests.fuzz.mutations import SECRET, SEED, changed_bytes, changed_value, is_clear_error
from tests.records import random_records

EVENTS = meds(random_records(3, seed=9))


def risks_of(bundle):
    return Predictor(bundle).predict(EVENTS).table["risk"].to_numpy()


@pytest.fixture(scope="module")
def bundled(tmp_path_factory):
    """A bundle as a folder and as an archive, and the risks that it gives."""
    folder = tmp_path_factory.mktemp("bundled")
    for name in ("bundle", "bundle.zip"):
        write_bundle(bundle_on("visit"), folder / name, figures={"c_td.png": b"png"}, extras={})
    return folder, risks_of(read_bundle(folder / "bundle"))


def test_no_changed_byte_of_a_bundle_becomes_data(bundled, tmp_path, times):
    folder, risks = bundled
    dice, refused = random.Random(SEED), 0
    files = [path for path in sorted((folder / "bundle").rglob("*")) if path.is_file()]
    for number in range(60 * times):
        path = dice.choice([*files, folder / "bundle.zip"])
        other = tmp_path / str(number)
        if path.suffix == ".zip":
            other.write_bytes(changed_bytes(path.read_bytes(), dice))
        else:
            shutil.copytree(folder / "bundle", other)
            (other / path.relative_to(folder / "bundle")).write_bytes(changed_bytes(path.read_bytes(), dice))
        try:
            np.testing.assert_array_equal(risks_of(read_bundle(other)), risks)
        except BundleError as error:
            refused += is_clear_error(error)
    assert refused > 50 * times


def changed_part(container, dice):
    """The files and the words of a bundle with one change in one part."""
    files, about = dict(container.files), container.about
    name = dice.choice([*sorted(set(files) - {"figures/c_td.png", "MODEL_CARD.md"}), "about"])
    if name == "about":
        return files, changed_value(about, dice), name
    if name == WEIGHTS:
        weights = changed_value(load_weights(files[name]), dice)
        # Views and other layouts can't be written to this format.
        files[name] = save_weights(weights)
    elif name == CONFIG:
        files[name] = yaml.safe_dump(changed_value(yaml.safe_load(files[name]), dice)).encode()
    else:
        files[name] = json.dumps(changed_value(json.loads(files[name]), dice)).encode()
    return files, about, name


def shown(bundle):
    """What people are shown of a bundle: its figures as strict JSON, and its card written again from them."""
    json.dumps([bundle.metrics, bundle.cohort], allow_nan=False)
    return write_card(
        bundle.about,
        bundle.config,
        reference=bundle.reference,
        cohort=bundle.cohort,
        metrics=bundle.metrics,
        figures=(),
        has_onnx=False,
    )


def test_no_changed_value_of_a_bundle_gives_a_traceback_or_is_looked_up(bundled, tmp_path, times):
    folder, risks = bundled
    container = read_container(folder / "bundle", json.loads((folder / "bundle" / INDEX).read_text())["files"])
    dice, refused = random.Random(SEED + 1), 0
    for number in range(80 * times):
        try:
            files, about, name = changed_part(container, dice)
            write_container(tmp_path / str(number), files, about)
        except (SafetensorError, ValueError, TypeError, AttributeError, KeyError, RecursionError, RuntimeError):
            continue
        try:
            bundle = read_bundle(tmp_path / str(number))
            found = risks_of(bundle)
        except SurvlstmError as error:
            refused += is_clear_error(error)
            continue
        assert SECRET not in str(bundle.config) + str(bundle.about)
        if name in {"about", "cohort.json", "metrics.json", "reference.json"}:
            assert shown(bundle)
        assert ((found >= 0) & (found <= 1)).all()
        if name in {"about", "cohort.json", "metrics.json"}:
            np.testing.assert_array_equal(found, risks)
    assert refused > 25 * times
