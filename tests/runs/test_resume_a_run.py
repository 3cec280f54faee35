"""Going on with a run: with which config, from which state, and what stands against it."""

import json
import logging
import re
import shutil

import pytest
import torch
import yaml

from survlstm.cli.main import main
from survlstm.runs.resume import compare_configs, recorded_config, resumed_config, state_to_go_on_from
from survlstm.training.checkpoint import load_checkpoint, write_checkpoint
from survlstm.utils.errors import CheckpointError, ConfigError
from tests.lives import SAVING, SMALL, Life
from tests.states import trained

RUN = [*SMALL, "trainer.epochs=5"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory, shared_cache):
    """``undisturbed`` was trained and judged; ``stopped`` was killed in its third epoch."""
    folder = tmp_path_factory.mktemp("runs")
    words = [*RUN, f"cache_dir={shared_cache}"]
    life = Life(folder / "undisturbed", *words, f"output_dir={folder / 'undisturbed'}")
    assert life.ended() == 0, life.said
    Life(folder / "stopped", *words, SAVING, f"output_dir={folder / 'stopped'}").until("Epoch 3/").killed(after=0.02)
    return folder


@pytest.fixture
def stopped(runs, tmp_path):
    """A copy of the stopped run, to go on with."""
    return shutil.copytree(runs / "stopped", tmp_path / "run")


def gone_on(folder, *words, command=main):
    """Go on until training ends; what is said. Its evaluation is none of these tests' business."""
    words = [word.replace("HERE", str(folder)) for word in words]
    return Life(folder, *words, command=command).until("Training ended:").killed()


def last_of(folder):
    return load_checkpoint(folder / "checkpoints" / "last.pt")


def state_with(folder, *overrides):
    return state_to_go_on_from(folder, resumed_config(folder, list(overrides)))


def test_a_run_goes_on_with_its_own_config(runs, stopped):
    config = resumed_config(stopped, [])
    assert compare_configs(last_of(stopped)["about"]["config"], config.model_dump(by_alias=True)) == []
    assert config.output_dir == str(stopped)
    assert config.trainer.batch_size == 16
    said = gone_on(stopped, "train", "resume=HERE")
    assert "Changed since the run was started" not in said
    assert "compute environment has changed" not in said
    assert trained(stopped) == trained(runs / "undisturbed")
    state = last_of(runs / "stopped")
    went_on = f"resumed in epoch {state['progress']['epoch']} after {state['progress']['steps']} steps"
    assert json.loads((stopped / "history.json").read_text())["events"] == [went_on]
    assert f"Resuming the run in {stopped}: last.pt is used" in (stopped / "training.log").read_text()


def test_a_dry_run_of_a_resumed_run_is_refused_instead_of_ignored(stopped):
    with pytest.raises(ConfigError, match=r"trainer\.dry_run estimates a new run; with resume it would be ignored"):
        resumed_config(stopped, ["trainer.dry_run=true"])


def test_the_same_words_again_go_on_too(runs, stopped, shared_cache):
    said = gone_on(stopped, *RUN, f"cache_dir={shared_cache}", "output_dir=HERE")
    assert "Changed since the run was started: trainer.checkpoint.every_minutes: 1e-09 → 5" in said
    assert trained(stopped) == trained(runs / "undisturbed")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("optimizer.lr=0.5", "optimizer.lr: 0.001 → 0.5"),
        ("optimizer.weight_decay=0", r"optimizer.weight_decay: .* → 0"),
        ("model.dropout=0.1", "model.dropout: 0.3 → 0.1"),
        ("model=lstm_medium", "model.embedding_dim: 16 → 128; model.hidden_dim: 16 → 256"),
        ("data.max_visits=9", "data.max_visits: null → 9"),
        ("data.simulated.patients=300", "data.simulated.patients: 200 → 300"),
        ("outcome.seed=5", "outcome.seed: 0 → 5"),
        ("clock=landmark", "clock.kind: visit → landmark"),
        ("split.train=0.6", "split.train: 0.7 → 0.6"),
        ("vocabulary.min_frequency=3", "vocabulary.min_frequency: 2 → 3"),
        ("seed=7", "seed: 0 → 7; split.seed: 0 → 7"),
        ("scheduler=none", r"scheduler._target_: \S+ → null"),
        ("trainer.grad_clip=null", "trainer.grad_clip: 1.0 → null"),
        ("trainer.precision=bfloat16", "trainer.precision: float32 → bfloat16"),
        ("trainer.deterministic=false", "trainer.deterministic: true → false"),
        ("trainer.early_stopping.min_delta=0.5", "trainer.early_stopping.min_delta: 0.001 → 0.5"),
        # The default, and yet not what the run began with.
        ("trainer.batch_size=64", "trainer.batch_size: 16 → 64"),
        # A group's file sets what stands in it.
        ("trainer=smoke", "trainer.batch_size: 16 → 32"),
    ],
)
def test_what_would_give_another_result_is_refused(runs, override, said):
    if override == "split.train=0.6":
        override = ["split.train=0.6", "split.test=0.25"]
    overrides = [override] if isinstance(override, str) else override
    with pytest.raises(
        ConfigError, match=rf"resumed with the config it was started with; .* would change with .*{said}.*Leave that"
    ):
        state_with(runs / "stopped", *overrides)


def test_keys_that_an_older_survlstm_did_not_have_are_no_change(stopped):
    state = last_of(stopped)
    trainer = state["about"]["config"]["trainer"]
    del trainer["auxiliary"], trainer["early_stopping"]["start_margin"], state["about"]["config"]["pretrain"]
    write_checkpoint(stopped / "checkpoints" / "last.pt", state)
    assert state_with(stopped)["epoch"] == state["epoch"]
    with pytest.raises(ConfigError, match=r"would change with pretrain: \(not there\) → elsewhere\. Leave"):
        state_with(stopped, "pretrain=elsewhere")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("trainer.epochs=9", "trainer.epochs: 5 → 9"),
        ("trainer.early_stopping.patience=50", "trainer.early_stopping.patience: null → 50"),
        ("trainer.budget.hours=3", "trainer.budget.hours: null → 3.0"),
        ("trainer.cost_per_hour=0.4", "trainer.cost_per_hour: null → 0.4"),
        ("trainer.checkpoint.every_epochs=1", "trainer.checkpoint.every_epochs: 10 → 1"),
        ("trainer.on_oom=halve", "trainer.on_oom: stop → halve"),
        ("trainer.device=auto", "trainer.device: cpu → auto"),
        ("trainer.micro_batch_size=4", "trainer.micro_batch_size: null → 4"),
        ("evaluation.resamples=150", "evaluation.resamples: 100 → 150"),
        ("evaluation=long_records", "evaluation.landmarks"),
        ("verbose=true", "verbose: false → true"),
    ],
)
def test_what_leaves_the_result_alone_may_change_and_is_told(stopped, caplog, override, said):
    with caplog.at_level(logging.INFO, logger="survlstm"):
        assert state_with(stopped, override)["history"]["epochs"]
    assert f"Changed since the run was started: {said}" in caplog.text


def test_a_users_own_configs_are_found(stopped, tmp_path):
    (tmp_path / "my, configs" / "experiment").mkdir(parents=True)
    (tmp_path / "my, configs" / "experiment" / "longer.yaml").write_text("# @package _global_\ntrainer: {epochs: 6}\n")
    said = gone_on(stopped, "train", "resume=HERE", "experiment=longer", "--config-dir", str(tmp_path / "my, configs"))
    assert "Changed since the run was started: trainer.epochs: 5 → 6" in said
    manifest = json.loads((stopped / "manifest.json").read_text())
    assert "experiment=longer" in manifest["overrides"]
    assert not any("searchpath" in word for word in manifest["overrides"])


def test_patience_budget_and_evaluation_change_nothing_that_is_computed(runs, stopped):
    words = ["trainer.early_stopping.patience=50", "trainer.budget.hours=3", "evaluation.resamples=150"]
    gone_on(stopped, "train", "resume=HERE", "trainer.cost_per_hour=0.4", "trainer.on_oom=halve", *words)
    assert trained(stopped) == trained(runs / "undisturbed")


def test_smaller_parts_change_the_rounding_only(runs, stopped):
    gone_on(stopped, "train", "resume=HERE", "trainer.micro_batch_size=3")
    found, expected = (last_of(folder)["model"] for folder in (stopped, runs / "undisturbed"))
    for name, weights in expected.items():
        torch.testing.assert_close(found[name], weights, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["stopped", "undisturbed"])
def test_more_epochs_give_what_so_many_would_have_given(runs, tmp_path, shared_cache, name):
    whole, folder = tmp_path / "whole", shutil.copytree(runs / name, tmp_path / "run")
    gone_on(whole, *SMALL, "trainer.epochs=7", f"cache_dir={shared_cache}", "output_dir=HERE")
    said = gone_on(folder, "train", "resume=HERE", "trainer.epochs=7")
    assert "Changed since the run was started: trainer.epochs: 5 → 7" in said
    assert trained(folder) == trained(whole)
    assert yaml.safe_load((folder / "config.yaml").read_text())["trainer"]["epochs"] == 7


def test_fewer_epochs_than_are_done_are_refused(runs):
    with pytest.raises(ConfigError, match=r"trainer\.epochs must be at least 2, which are done; found 1"):
        state_with(runs / "stopped", "trainer.epochs=1")


def waiting(folder, epochs):
    """The run as if so many epochs had brought nothing."""
    state = last_of(folder)
    state["stopping"]["waited"] = epochs
    write_checkpoint(folder / "checkpoints" / "last.pt", state)


def test_less_patience_than_was_used_up_is_refused(stopped):
    waiting(stopped, 2)
    with pytest.raises(ConfigError, match="patience must be at least 2, the epochs waited so far; found 1"):
        state_with(stopped, "trainer.early_stopping.patience=1")
    assert state_with(stopped, "trainer.early_stopping.patience=2") is not None


def test_patience_that_has_just_run_out_ends_it(stopped):
    waiting(stopped, 2)
    said = gone_on(stopped, "train", "resume=HERE", "trainer.early_stopping.patience=2")
    assert "Training ended: early stopping after 2 epochs" in said


def test_a_finished_run_is_told_what_can_be_done_with_it(runs):
    finished = runs / "undisturbed"
    with pytest.raises(
        ConfigError,
        match=rf"the run in {finished} is finished \(5 epochs\). survlstm evaluate run={finished} evaluates it",
    ):
        state_with(finished)


def test_a_run_that_was_killed_while_judged_is_judged(runs, tmp_path):
    folder = shutil.copytree(runs / "undisturbed", tmp_path / "run")
    (folder / "report.html").unlink()
    (folder / "metrics.json").unlink()
    life = Life(folder, "train", f"resume={folder}")
    assert life.ended() == 0, life.said
    assert "Epoch" not in life.said.split("Resuming in")[1].split("Best validation")[0]
    before, after = (json.loads((run / "metrics.json").read_text())["test"] for run in (runs / "undisturbed", folder))
    assert before == after


def test_a_folder_that_is_no_run_is_told(survlstm, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("not a folder")
    for name in ("nowhere", "empty", "file"):
        assert survlstm("train", f"resume={name}") == 2
        shown = capsys.readouterr()
        assert (
            f"ConfigError: resume must be the folder of a run that was stopped; {tmp_path / name} is not" in shown.err
        )
        assert "Traceback" not in shown.out + shown.err
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["empty", "file"]


def test_an_edited_config_is_not_believed_where_there_is_a_checkpoint(runs, stopped):
    path = stopped / "config.yaml"
    for content in (path.read_text().replace("lr: 0.001", "lr: 0.5"), "", "torn: ["):
        assert content != path.read_text()
        path.write_text(content)
        assert resumed_config(stopped, []).optimizer.settings()["lr"] == 0.001
        assert len(state_with(stopped)["history"]["epochs"]) == 2


@pytest.mark.parametrize("content", [b"", b"torn: [", b"\xff\xfe", b"just words", b"[1, 2]", b"seed: 3\n"])
def test_without_a_checkpoint_an_unreadable_config_is_told(stopped, content):
    shutil.rmtree(stopped / "checkpoints")
    (stopped / "config.yaml").write_bytes(content)
    with pytest.raises(
        CheckpointError, match=rf"a run must hold its config.yaml or a checkpoint to go on from; {stopped} has neither"
    ):
        resumed_config(stopped, [])


def test_damaged_checkpoints_are_told_in_a_sentence(survlstm, stopped, capsys):
    for name in ("last.pt", "previous.pt"):
        (stopped / "checkpoints" / name).write_bytes(b"torn")
    assert survlstm("train", f"resume={stopped}") == 7
    shown = capsys.readouterr()
    assert "No checkpoint is left to resume from; train again in another folder" in shown.out + shown.err
    assert "Traceback" not in shown.out + shown.err


def test_from_before_a_damaged_checkpoint_it_ends_at_the_same_place(runs, stopped):
    last = stopped / "checkpoints" / "last.pt"
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content)
    said = gone_on(stopped, "train", "resume=HERE")
    assert (
        "last.pt must be a whole checkpoint; its checksum is wrong: it was damaged or changed; previous.pt is" in said
    )
    assert trained(stopped) == trained(runs / "undisturbed")
    assert (stopped / "checkpoints" / "last.damaged").read_bytes() == content


@pytest.mark.parametrize(
    ("line", "words"),
    [("Run folder:", RUN), ("Prepared data:", RUN), ("Prepared data:", ["train", "resume=HERE"])],
    ids=["at once, again", "prepared, again", "prepared, resume"],
)
def test_killed_while_preparing_it_starts_from_the_beginning(runs, tmp_path, shared_cache, words, line):
    folder, own = tmp_path / "run", [f"cache_dir={shared_cache}", f"output_dir={tmp_path / 'run'}"]
    Life(folder, *RUN, *own).until(line).killed()
    assert not list(folder.glob("checkpoints/*.pt"))
    gone_on(folder, *words, *own)
    assert trained(folder) == trained(runs / "undisturbed")
    assert json.loads((folder / "history.json").read_text())["events"] == []


def test_changed_data_are_told(tmp_path, shared_cache):
    export, folder = tmp_path / "export", tmp_path / "run"
    shutil.copytree(next(shared_cache.glob("cohorts/200-*")), export)
    words = [*RUN[:1], *RUN[3:], "data=synthea", f"data.path={export}", SAVING]
    Life(folder, *words, f"cache_dir={shared_cache}", f"output_dir={folder}").until("Epoch 2/").killed()
    before = (folder / "history.json").read_bytes()
    observations = (export / "observations.csv").read_text()
    (export / "observations.csv").write_text(observations[: observations.rindex("\n", 0, -1) + 1])
    life = Life(folder, "train", f"resume={folder}")
    assert life.ended() == 2
    assert (
        "ConfigError: a run can only be resumed with the data it was started with; the export or survlstm has"
        in life.said
    )
    assert "Traceback" not in life.said
    assert (folder / "history.json").read_bytes() == before
    (export / "observations.csv").write_text(observations)
    assert "Training ended: all 5 epochs done" in gone_on(folder, "train", "resume=HERE")


@pytest.mark.parametrize(
    "words",
    [["-m", "resume=HERE"], ["resume=HERE", "--multirun", "trainer.epochs=6,7"], ["-m", "resume=HERE,elsewhere"]],
)
def test_a_sweep_goes_on_with_nothing(survlstm, runs, capsys, words):
    before = sorted(runs.rglob("*"))
    assert survlstm("train", *(word.replace("HERE", str(runs / "stopped")) for word in words)) == 2
    shown = capsys.readouterr()
    assert "resume, trainer.dry_run and trainer.distributed are for one run; leave out -m" in shown.err
    assert sorted(runs.rglob("*")) == before


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("hydra.run.dir=elsewhere", "hydra.run.dir must be left out with resume; set output_dir"),
        ("hydra/launcher=joblib", "resume is for one run; leave out the options of a sweep: hydra/launcher=joblib"),
    ],
)
def test_words_that_would_start_it_elsewhere_or_otherwise_are_refused(survlstm, runs, capsys, word, sentence):
    assert survlstm("train", f"resume={runs / 'stopped'}", word) == 2
    assert sentence in capsys.readouterr().err


def with_two_threads(words):
    torch.set_num_threads(2)
    main(words)


def test_another_place_is_told_in_the_log_and_in_the_history(stopped):
    said = gone_on(stopped, "train", "resume=HERE", command=with_two_threads)
    assert "WARNING: the compute environment has changed (threads 1 → 2): results may differ by rounding" in said
    assert "threads 1 → 2" in (stopped / "training.log").read_text()
    (event,) = json.loads((stopped / "history.json").read_text())["events"]
    assert re.fullmatch(r"resumed in epoch \d after \d steps, with threads 1 → 2", event)


def test_a_run_that_failed_before_its_first_checkpoint_is_mended_in_its_own_folder(survlstm, tmp_path):
    (tmp_path / "export").mkdir()
    words = ["experiment=smoke", "evaluation.baselines=[]", "evaluation.landmarks.visits=[]", "output_dir=run"]
    assert survlstm("train", *words, "data=synthea", "data.path=export") == 3
    assert survlstm("train", *words) == 0
    assert "ended before its first checkpoint" in (tmp_path / "run" / "training.log").read_text()


def test_a_finished_run_that_is_extended_and_killed_is_not_taken_for_finished(survlstm, tmp_path, monkeypatch):
    from survlstm.runs import train

    words = ["experiment=smoke", "evaluation.baselines=[]", "evaluation.landmarks.visits=[]", "trainer.epochs=1"]
    assert survlstm("train", *words, "output_dir=run") == 0

    def killed(*_):
        raise MemoryError("as if killed while judging")

    with monkeypatch.context() as patched:
        patched.setattr(train, "assess", killed)
        with pytest.raises(MemoryError):
            survlstm("train", "resume=run", "trainer.epochs=2")
    assert not (tmp_path / "run" / "report.html").exists()
    assert survlstm("train", "resume=run") == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["training"]["stopped"] == "all 2 epochs done"


def test_a_server_that_only_a_checkpoint_names_does_not_get_credentials(stopped, monkeypatch, tmp_path):
    path = stopped / "checkpoints" / "last.pt"
    state = last_of(stopped)
    state["about"]["config"]["logger"] = {
        "_target_": "survlstm.training.loggers.mlflow_logger.MLflowLogger",
        "store": "https://evil.example",
        "folder": "outputs",
        "experiment": "survlstm",
        "log_checkpoint": False,
        "patience_seconds": 1.0,
    }
    path.unlink()
    write_checkpoint(path, state)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert resumed_config(stopped, []).logger.store == recorded_config(stopped).logger.store == "https://evil.example"
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter2")
    for job in (lambda: resumed_config(stopped, []), lambda: recorded_config(stopped)):
        with pytest.raises(ConfigError, match=r"there are credentials \(MLFLOW_TRACKING_PASSWORD\); found it only in"):
            job()
    assert resumed_config(stopped, ["logger=none"]).logger.target is None
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://evil.example")
    assert recorded_config(stopped).logger.store == "https://evil.example"
