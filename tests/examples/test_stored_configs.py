"""A run folder that somebody else has changed: no command resolves what its configs ask for, and none imports it."""

import shutil
import sys

import pytest

from survlstm.training.checkpoint import load_checkpoint, write_checkpoint

SECRET = "SECRET-71c4"
OUTCOME = "survlstm.data.outcomes.clinical.FirstCodeOutcome"
COMMANDS = {
    "evaluate": ["evaluate", "run=RUN", "output_dir=NEW"],
    "export": ["export", "run=RUN", "output=NEW"],
    "explain": ["explain", "run=RUN", "output=NEW"],
    "rerun": ["rerun", "RUN", "output_dir=NEW"],
    "resume": ["train", "resume=RUN", "trainer.epochs=5"],
}


@pytest.fixture
def run(trained, tmp_path, monkeypatch):
    """A copy of a finished run, a secret in the environment, and modules of the folder's that could be imported."""
    monkeypatch.setenv("SURVLSTM_SECRET", SECRET)
    monkeypatch.syspath_prepend(tmp_path)
    return shutil.copytree(trained[0], tmp_path / "run")


def change_config(run, change):
    for path in run.glob("checkpoints/*.pt"):
        content = load_checkpoint(path)
        change(content["about"]["config"])
        path.unlink()
        write_checkpoint(path, content)


def asked(command, run, tmp_path):
    named = {"RUN": str(run), "NEW": str(tmp_path / "new")}
    return [word.replace("RUN", named["RUN"]).replace("NEW", named["NEW"]) for word in COMMANDS[command]]


def files_with(secret, folder):
    return [str(path) for path in folder.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]


@pytest.mark.parametrize("command", COMMANDS)
def test_an_interpolation_in_a_checkpoint_is_refused_and_the_secret_stays_where_it_is(
    survlstm, run, tmp_path, capsys, command
):
    def ask_for_the_secret(config):
        config["outcome"] = {"_target_": OUTCOME, "codes": ["X/${oc.env:SURVLSTM_SECRET}"]}

    change_config(run, ask_for_the_secret)
    assert survlstm(*asked(command, run, tmp_path)) == 7
    said = "".join(capsys.readouterr())
    assert "outcome.codes must be a plain value; found an interpolation, ${...}" in said
    assert SECRET not in said
    assert files_with(SECRET, tmp_path) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_a_class_in_a_checkpoint_is_refused_before_it_is_imported(survlstm, run, tmp_path, capsys, command):
    (tmp_path / "evil_class.py").write_text("raise SystemExit('imported')\n")
    change_config(run, lambda config: config["model"].update(_target_="evil_class.Evil"))
    assert survlstm(*asked(command, run, tmp_path)) in {2, 7}
    assert "model._target_" in "".join(capsys.readouterr())
    assert "evil_class" not in sys.modules


@pytest.mark.parametrize("command", ["rerun", "resume"])
def test_an_interpolation_in_config_yaml_is_refused_too(survlstm, run, tmp_path, capsys, command):
    shutil.rmtree(run / "checkpoints")
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(
        text.replace("seed: 0\ncache_dir: ", "seed: 0\ncache_dir: ${oc.env:SURVLSTM_SECRET}")
    )
    assert survlstm(*asked(command, run, tmp_path)) == 7
    said = "".join(capsys.readouterr())
    assert "cache_dir must be a plain value; found an interpolation" in said
    assert SECRET not in said
    assert files_with(SECRET, tmp_path) == []
