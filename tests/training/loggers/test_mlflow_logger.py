"""MLflowLogger with a SQLite store: what MLflow holds of a run and of a resumed run."""

import json
import logging
import os
import shutil
import sqlite3
import sys
import threading
from pathlib import Path

import pytest

from survlstm.training.loggers.mlflow_logger import ENVIRONMENT
from survlstm.utils.errors import ConfigError
from tests.training.loggers.histories import CONFIG, METRICS, history, results, started_from_a_fit, warnings_in
from tests.training.loggers.mlflow_life import Kept, guarded_run, life, needs_mlflow, tracker_of

needs_mlflow()


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory):
    """A SQLite store created by MLflow, once for the module because it takes seconds."""
    folder = tmp_path_factory.mktemp("store")
    life(tracker_of(folder=folder, experiment="another"), folder / "run", [])
    return folder / "mlflow.db"


@pytest.fixture
def outputs(tmp_path, empty_store):
    """A folder for runs and their store."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return tmp_path


def kept(outputs):
    return Kept(f"sqlite:///{outputs / 'mlflow.db'}")


def test_params_metrics_and_the_end_of_a_run(outputs):
    life(tracker_of(folder=outputs), outputs / "run", [history(1), history(2)])
    found = kept(outputs)
    assert found.run.info.run_name == "run"
    assert found.run.info.status == "FINISHED"
    assert found.run.data.params == {
        "seed": "0",
        "model.hidden_dim": "16",
        "model.dropout": "0.3",
        "model.features": '["age"]',
        "resume": "null",
        "verbose": "false",
    }
    for name in ("train_loss", "val_loss", "val_c_td", "lr", "grad_norm", "seconds", "subjects_per_second", "epoch"):
        assert found.points(name) == [(epoch.epoch, getattr(epoch, name)) for epoch in history(2).epochs]
    assert found.points("test.c_td") == [(2, 0.75)]
    assert found.run.data.metrics["test.nll"] == 2.5
    assert found.run.data.tags["survlstm.folder"] == str(outputs / "run")


def test_what_a_model_is_before_its_first_step_is_logged_once_at_epoch_0(outputs):
    for epochs in (1, 2):
        life(tracker_of(folder=outputs), outputs / "run", [started_from_a_fit(history(epochs))])
    found = kept(outputs)
    assert found.points("val_loss") == [(0, 2.5), *((epoch.epoch, epoch.val_loss) for epoch in history(2).epochs)]
    assert [step for step, _ in found.points("lr")] == [1, 2]


def test_results_become_artifacts_beside_the_store(outputs):
    run = outputs / "run"
    run.mkdir()
    results(run)
    life(tracker_of(folder=outputs), run, [history(1)])
    found = kept(outputs)
    assert sorted(found.files()) == ["config.yaml", "figures/loss.png", "history.json", "metrics.json", "report.html"]
    stored = outputs / "mlflow-artifacts" / found.run.info.run_id / "artifacts" / "report.html"
    assert stored.read_text() == "this is report.html"


def test_the_best_weights_are_sent_where_asked_for(outputs):
    run = outputs / "run"
    run.mkdir()
    results(run)
    life(tracker_of(folder=outputs, log_checkpoint=True), run, [history(1)])
    assert "checkpoints/best.pt" in kept(outputs).files()


@pytest.mark.parametrize(("state", "status"), [("failed", "FAILED"), ("stopped", "KILLED")])
def test_a_run_that_did_not_finish_says_so(state, status, outputs):
    life(tracker_of(folder=outputs), outputs / "run", [history(1)], metrics={}, state=state)
    assert kept(outputs).run.info.status == status


def test_nothing_is_left_in_the_working_folder(outputs, tmp_path_factory, monkeypatch):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.chdir(elsewhere)
    life(tracker_of(folder=outputs), outputs / "run", [history(1)])
    assert not list(elsewhere.iterdir())


def test_numbers_that_are_not_finite_are_gaps(outputs):
    life(tracker_of(folder=outputs), outputs / "run", [history(2, val_c_td=float("nan"))])
    found = kept(outputs)
    assert "val_c_td" not in found.run.data.metrics
    assert "test.baseline.oracle.c_td" not in found.run.data.metrics
    assert found.points("epoch") == [(1, 1.0), (2, 2.0)]


def test_a_name_that_mlflow_refuses_is_changed(outputs):
    life(tracker_of(folder=outputs), outputs / "run", [], metrics={"test.c_td (landmark 2)": 0.5})
    assert kept(outputs).run.data.metrics == {"test.c_td _landmark 2_": 0.5}


def test_long_and_many_params(outputs, caplog):
    caplog.set_level(logging.INFO)
    config = {"codes": ["SNOMED/44054006"] * 200, "many": {f"key_{n:03d}": n for n in range(250)}}
    life(tracker_of(folder=outputs), outputs / "run", [], config=config)
    params = kept(outputs).run.data.params
    assert len(params) == 251
    assert params["many.key_249"] == "249"
    assert len(params["codes"]) == 500
    assert params["codes"].startswith('["SNOMED/44054006", "SNOMED/')
    assert params["codes"].endswith(" … (cut from 3800 characters)")
    assert "Cut to 500 characters for MLflow: codes; the artifact config.yaml holds the whole values" in caplog.messages


def test_a_run_that_goes_on_does_so_in_its_own_without_a_point_twice(outputs):
    run = outputs / "run"
    life(tracker_of(folder=outputs), run, [history(1), history(2), history(3)], killed=True)
    assert kept(outputs).run.info.status == "RUNNING"
    # Epoch 3 comes again, with other numbers: of the metrics of a step MLflow can't replace one.
    life(tracker_of(folder=outputs), run, [history(3, shift=0.5), history(4, shift=0.5), history(5, shift=0.5)])
    found = kept(outputs)
    assert found.points("train_loss") == [(1, 2.9), (2, 2.8), (3, 2.7), (4, 3.1), (5, 3.0)]
    assert found.points("test.c_td") == [(5, 0.75)]
    assert found.run.info.status == "FINISHED"


def test_what_has_changed_when_a_run_goes_on_becomes_a_tag(outputs):
    run = outputs / "run"
    life(tracker_of(folder=outputs), run, [history(1)], state="stopped")
    life(tracker_of(folder=outputs), run, [history(2)], config={**CONFIG, "verbose": True, "new": 1})
    data = kept(outputs).run.data
    assert data.params["verbose"] == "false"
    assert data.params["new"] == "1"
    assert {key: value for key, value in data.tags.items() if key.startswith("resumed.")} == {"resumed.verbose": "true"}


def test_more_epochs_than_one_request_takes(outputs):
    run = outputs / "run"
    life(tracker_of(folder=outputs), run, [history(2)], killed=True)
    life(tracker_of(folder=outputs), run, [history(350)])
    assert [step for step, _ in kept(outputs).points("val_loss")] == list(range(1, 351))


def test_a_deleted_experiment_is_told_with_what_brings_it_back(outputs, caplog):
    from mlflow import MlflowClient

    logger = tracker_of(folder=outputs)
    client = MlflowClient(logger.store)
    number = client.create_experiment("survlstm")
    client.delete_experiment(number)
    guarded_run(logger, outputs / "run", [history(1)])
    (said,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "logger.experiment must not name a deleted experiment; survlstm was deleted." in said
    assert f"mlflow experiments restore --experiment-id {number}, or set logger.experiment to another name" in said
    assert "that answers" not in said
    client.restore_experiment(number)
    life(tracker_of(folder=outputs), outputs / "run", [history(1)])
    assert kept(outputs).points("val_loss")


def test_a_run_that_was_deleted_begins_anew(outputs):
    run = outputs / "run"
    life(tracker_of(folder=outputs), run, [history(1)], killed=True)
    found = kept(outputs)
    found.client.delete_run(found.run.info.run_id)
    life(tracker_of(folder=outputs), run, [history(2)])
    assert kept(outputs).points("epoch") == [(1, 1.0), (2, 2.0)]


@pytest.mark.parametrize("link", ["", "[]", '{"store": "http://127.0.0.1:1", "run_id": "x"}', None])
def test_a_link_that_leads_nowhere_begins_anew(link, outputs):
    run = outputs / "run"
    run.mkdir()
    there = {"store": f"sqlite:///{outputs / 'mlflow.db'}", "run_id": "0" * 32}
    (run / "mlflow.json").write_text(json.dumps(there) if link is None else link)
    life(tracker_of(folder=outputs), run, [history(1)])
    found = kept(outputs)
    assert found.points("epoch") == [(1, 1.0)]
    assert json.loads((run / "mlflow.json").read_text())["run_id"] == found.run.info.run_id


def test_runs_of_a_sweep_share_an_experiment(outputs):
    def job(name):
        guarded_run(tracker_of(folder=outputs), outputs / name, [history(2)])

    threads = [threading.Thread(target=job, args=(f"run {number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(run.info.run_name for run in kept(outputs).runs) == ["run 0", "run 1", "run 2", "run 3"]
    assert {run.info.status for run in kept(outputs).runs} == {"FINISHED"}


def test_a_locked_store_holds_a_run_up_no_longer_than_its_patience(outputs, caplog):
    with sqlite3.connect(outputs / "mlflow.db", isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert guarded_run(tracker_of(folder=outputs, patience_seconds=1.0), outputs / "run", [history(1)]) < 8
        (said,) = warnings_in(caplog)
        assert "it has not answered for 1 s. Check that sqlite:////" in said
        other.execute("ROLLBACK")
    other.close()
    for thread in threading.enumerate():
        if thread.name == "logger mlflow":
            thread.join()


def test_a_folder_that_can_not_be_written_is_one_warning(tmp_path, caplog):
    (tmp_path / "a file").write_text("")
    guarded_run(tracker_of(folder=tmp_path / "a file" / "outputs"), tmp_path / "run", [history(1)])
    (said,) = warnings_in(caplog)
    assert "logger=mlflow is switched off, and the run continues without it: NotADirectoryError" in said


def test_the_store_is_a_file_of_the_folder_unless_an_address_is_given(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert tracker_of(folder="outputs").store == f"sqlite:///{tmp_path / 'outputs' / 'mlflow.db'}"
    assert tracker_of(folder="~/runs").store == f"sqlite:///{Path.home() / 'runs' / 'mlflow.db'}"
    assert tracker_of(store="http://127.0.0.1:5000").store == "http://127.0.0.1:5000"


def test_what_the_user_has_set_stands(monkeypatch):
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    tracker_of()
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "1"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_making_a_store_leaves_the_logging_of_survlstm_alone(empty_store, caplog):
    logging.getLogger("survlstm.training.loggers.mlflow_logger").warning("still heard")
    assert caplog.messages == ["still heard"]


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ConfigError, match=r"logger=mlflow needs the extra mlflow: pip install 'survlstm\[mlflow\]' \("):
        tracker_of()


def test_final_metrics_of_every_end_are_kept(outputs):
    run = outputs / "run"
    life(tracker_of(folder=outputs), run, [history(1)])
    life(tracker_of(folder=outputs), run, [history(2)], metrics=METRICS | {"test.c_td": 0.8})
    assert kept(outputs).points("test.c_td") == [(1, 0.75), (2, 0.8)]
