"""Words that look like flags: the override that is meant, and flags of Hydra that every command takes."""

import pytest


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["train", "--epochs", "3"], ": trainer.epochs=3"),
        (["train", "--epochs=3"], ": trainer.epochs=3"),
        (["train", "data=tiny", "--batch-size", "32", "seed=1"], ": trainer.batch_size=32"),
        (["train", "--batch_size=32"], ": trainer.batch_size=32"),
        (["train", "--trainer.epochs", "3"], ": trainer.epochs=3"),
        (["train", "--data", "tiny"], ": data=tiny"),
        (["train", "--visit", "3"], ": clock.visit=3"),
        (["train", "--patience", "5"], ": scheduler.patience=5 or trainer.early_stopping.patience=5"),
        (["train", "--epoch", "3"], ": trainer.epochs=3"),
        (["train", "--dry-run"], ": trainer.dry_run=true"),
        (["train", "--epochs"], ": trainer.epochs=VALUE"),
        (["train", "--epochs", "seed=3"], ": trainer.epochs=VALUE"),
        (["train", "--output-dir", "a b"], ": 'output_dir=a b'"),
        (["train", "--frobnicate", "3"], "; survlstm train --help lists the keys"),
        (["export", "--run", "RUN"], ": run=RUN"),
        (["explain", "--run=RUN"], ": run=RUN"),
        (["compare", "RUN", "RUN", "--output=x"], ": output=x"),
        (["rerun", "RUN", "--cache-dir=x"], ": cache_dir=x"),
        (["tune", "--trials", "3"], ": trials=3"),
        (["plot", "survival", "--subjects", "4711"], ": subjects=VALUE"),
        (["predict", "--subject-id=4711"], ": subjects_at_once=VALUE"),
    ],
)
def test_a_flag_that_is_a_key_names_the_override(survlstm, capsys, words, hint):
    assert survlstm(*words) == 2
    (flag,) = (word.partition("=")[0] for word in words if word.startswith("--"))
    message = f"ConfigError: there is no flag {flag}; values are written key=value{hint}\n"
    assert capsys.readouterr().err == message


@pytest.mark.parametrize("flag", ["--vers", "--hel"])
def test_a_flag_is_not_abbreviated(survlstm, capsys, flag):
    assert survlstm("train", flag) == 2
    assert f"there is no flag {flag}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["train", "seed=3"], "seed: 3\n"),
        (["evaluate"], "run: ???\n"),
        (["compare", "RUN", "RUN", "seed=3"], "seed: 3\n"),
        (["tune", "trials=3"], "trials: 3\n"),
        (["rerun", "RUN"], "output_dir: outputs/${now:"),
        (["export", "run=RUN"], "output: ???\n"),
        (["predict", "subjects_at_once=3"], "subjects_at_once: 3\n"),
        (["plot", "survival"], "output: survival_curves\n"),
        (["plot"], "output: survival_curves\n"),
        (["explain", "run=RUN"], "run: RUN\n"),
        (["serve", "bundle=BUNDLE"], "bundle: BUNDLE\n"),
        (["simulate"], "output: ???\n"),
    ],
)
def test_every_command_shows_its_composed_config(survlstm, capsys, tmp_path, words, shown):
    assert survlstm(*words, "--cfg", "job") == 0
    assert shown in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["compare", "rerun", "predict"])
def test_every_command_shows_what_hydra_knows(survlstm, capsys, command):
    assert survlstm(command, "RUN" if command != "predict" else "bundle=x", "--info") == 0
    assert "Config search path" in capsys.readouterr().out


def test_a_shown_config_is_checked(survlstm, capsys):
    assert survlstm("predict", "--cfg", "job", "outptu=x.csv") == 2
    assert "the nearest valid key is output" in capsys.readouterr().err
    assert survlstm("serve", "--cfg", "job", "bundle=B", "port=x") == 2
    assert "port: must be a valid integer; found 'x'" in capsys.readouterr().err


@pytest.mark.parametrize("flag", [["--cfg", "job"], ["--info", "config"]])
def test_a_flag_that_shows_a_config_goes_with_one_run(survlstm, capsys, flag):
    assert survlstm("train", "-m", "seed=0,1", *flag) == 2
    assert f"{flag[0]} shows the config of one run; leave out -m" in capsys.readouterr().err
