"""A whole run of an ensemble: one checkpoint, one bundle, one explanation."""

import json

import pytest
import torch

import survlstm
from survlstm.models.ensemble import SurvivalEnsemble
from tests.lives import SMALL, Life
from tests.states import trained

SETTINGS = [
    *SMALL[1:],
    "model=nested_lstm",
    "model.ensemble=2",
    "trainer.epochs=2",
    "model.embedding_dim=8",
    "model.hidden_dim=8",
    "trainer.batch_size=64",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory, shared_cache):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SURVLSTM_CACHE_DIR", str(shared_cache))
        return survlstm.train(SETTINGS, output_dir=str(tmp_path_factory.mktemp("run") / "ensemble"))


def parameters_of(model):
    return sum(weight.numel() for weight in model.parameters())


def test_it_is_one_model_of_two_members(run):
    model = run.model
    assert isinstance(model, SurvivalEnsemble)
    parameters = json.loads((run.folder / "metrics.json").read_text())["training"]["parameters"]
    assert parameters == parameters_of(model) == 2 * parameters_of(model.members[0])
    assert run.config.model.ensemble == 2


def test_its_bundle_holds_both_members(run, tmp_path):
    predictor = survlstm.load_bundle(run.export(tmp_path / "bundle.zip", format="onnx"))
    one, other = (model.state_dict() for model in (predictor.bundle.model, run.model))
    assert all(torch.equal(one[name], other[name]) for name in one.keys() | other.keys())


def test_a_killed_run_is_resumed_bit_for_bit(run, tmp_path, shared_cache):
    folder = tmp_path / "run"
    words = [*SETTINGS, f"cache_dir={shared_cache}", "trainer.checkpoint.every_minutes=1e-9"]
    Life(folder, "train", *words, f"output_dir={folder}").until("Epoch 2/").killed()
    said = Life(folder, "train", f"resume={folder}").until("Training ended:").killed()
    assert "Resuming in epoch" in said
    # The checks of types in this process draw from Python's generator.
    assert trained(folder, without={"python"}) == trained(run.folder, without={"python"})
