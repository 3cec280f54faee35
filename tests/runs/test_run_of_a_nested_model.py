"""A whole run whose best epoch is the regression it started from, and all that is made from such a run."""

import json

import numpy as np
import pytest
import torch

import survlstm
from survlstm.cli.main import main
from survlstm.models.protocol import LinearStart
from survlstm.sweeps.load_runs import read_run
from survlstm.training.history import read_history
from survlstm.training.prediction import predict_split
from survlstm.tuning.trial import outcome_of
from tests.lives import SMALL
from tests.states import judged

SETTINGS = [
    *SMALL[1:],
    "model=nested_lstm",
    "trainer.epochs=2",
    "optimizer.lr=3",
    "model.embedding_dim=8",
    "model.hidden_dim=8",
    "trainer.batch_size=64",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory, shared_cache):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SURVLSTM_CACHE_DIR", str(shared_cache))
        return survlstm.train(SETTINGS, output_dir=str(tmp_path_factory.mktemp("run") / "nested"))


def test_every_page_and_table_names_epoch_0(run):
    metrics = json.loads((run.folder / "metrics.json").read_text())
    start = read_history(run.folder).start
    assert (metrics["training"]["best_epoch"], metrics["training"]["val_loss"]) == (0, start.val_loss)
    (finding,) = (one for one in metrics["diagnostics"] if one["check"] == "improvement on the regression")
    assert finding["level"] == "note"
    assert "the evaluated model is that regression" in finding["finding"]
    page = (run.folder / "report.html").read_text()
    assert "best: 0 (validation loss" in page
    assert "Epoch 0 is the regression from which training starts." in page
    assert run.history.index.tolist() == [0, 1, 2]
    assert run.history["is_best"].tolist() == [True, False, False]


def test_a_table_of_runs_and_a_study_name_epoch_0(run):
    row, outcome = read_run(run.folder), outcome_of(read_history(run.folder))
    assert (row.best_epoch, row.epochs) == (0, 2)
    assert (outcome.best_epoch, outcome.val_nll) == (0, read_history(run.folder).start.val_loss)


def test_the_evaluated_hazards_are_those_of_the_linear_part(run):
    prepared = survlstm.prepare(SETTINGS)
    batches = prepared._batches
    model = run.model
    assert isinstance(model, LinearStart)
    with torch.no_grad():
        inputs = batches.collate(batches.members[:9]).inputs
        assert torch.equal(model(inputs), model.linear_logits(inputs))
    started = prepared.build_model()
    found, expected = (predict_split(one, batches, torch.device("cpu")) for one in (started, model))
    np.testing.assert_allclose(found.hazard, expected.hazard, rtol=1e-6)


def test_a_bundle_predicts_what_the_run_predicts(run, tmp_path):
    predictor = survlstm.load_bundle(run.export(tmp_path / "bundle.zip"))
    one, other = (model.state_dict() for model in (predictor.bundle.model, run.model))
    assert all(torch.equal(one[name], other[name]) for name in one.keys() | other.keys())
    assert predictor.bundle.about.epoch == 0


def test_a_finished_run_is_not_evaluated_again(run):
    before = judged(run.folder)
    with pytest.raises(survlstm.SurvlstmError, match="is finished"):
        survlstm.train(f"resume={run.folder}")
    assert judged(run.folder) == before


def test_a_dry_run_estimates_an_epoch(run, capsys, tmp_path, shared_cache):
    main(["train", *SETTINGS, "trainer.dry_run=true", f"cache_dir={shared_cache}", f"output_dir={tmp_path / 'x'}"])
    assert "s an epoch, at most" in capsys.readouterr().out
    assert not (tmp_path / "x").exists()
