"""The words of a command line: flags in any order, a user's own config folders, and paths of any characters."""

import shlex

import pytest
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins

from survlstm.config.compose import check_overrides
from survlstm.config.overrides import (
    added_config_folders,
    compose_overrides,
    normalise_arguments,
    read_flags,
    refuse_sweep_options,
)
from survlstm.config.schema.commands import SimulateConfig
from survlstm.config.schema.run import RunConfig
from survlstm.utils.errors import ConfigError
from survlstm.utils.shell import format_command

ODD = ["a=b", "x [1]", "ü,s (100%)", "a, [b] = it's"]
OWN = "# @package _global_\ndefaults: [override /data: tiny]\nmodel: {hidden_dim: 24}\n"


@pytest.fixture(params=ODD)
def odd(request, tmp_path):
    """A folder with an odd name that holds an experiment of the user's own."""
    folder = tmp_path / request.param
    (folder / "experiment").mkdir(parents=True)
    (folder / "experiment" / "mine.yaml").write_text(OWN)
    return folder


def composed(*words):
    (config,) = check_overrides("train", list(words), RunConfig)
    return config


def test_a_config_folder_of_any_name_is_searched(odd, monkeypatch):
    for words in (
        ["experiment=mine", "--config-dir", str(odd)],
        [f"--config-dir={odd}", "experiment=mine"],
        ["experiment=mine", f"hydra.searchpath=[file://{odd}]"],
        ["experiment=mine", f"hydra.searchpath=[{odd}]"],
        ["experiment=mine", f"hydra.searchpath=[pkg://survlstm, file://{odd}]"],
    ):
        # Typed words become these before they are composed; the last ones are composed as typed, too.
        assert composed(*normalise_arguments(words)).model.hidden_dim == 24, words
        assert normalise_arguments(normalise_arguments(words)) == normalise_arguments(words)
    assert composed(*words).model.hidden_dim == 24
    monkeypatch.chdir(odd.parent)
    assert composed("experiment=mine", "-cd", odd.name).model.hidden_dim == 24


def test_both_ways_to_name_a_config_folder_together(tmp_path):
    for name, size in (("one", 24), ("two", 40)):
        (tmp_path / name / "experiment").mkdir(parents=True)
        (tmp_path / name / "experiment" / f"{name}.yaml").write_text(OWN.replace("24", str(size)))
    words = [f"hydra.searchpath=[{tmp_path / 'two'}]", f"--config-dir={tmp_path / 'one'}"]
    assert [composed(*words, f"experiment={name}").model.hidden_dim for name in ("one", "two")] == [24, 40]
    assert added_config_folders(compose_overrides(words)) == [tmp_path / "one", tmp_path / "two"]
    # Its own choices are among those that a misspelt one is told.
    with pytest.raises(ConfigError, match=r"experiment must be one of guide_1000, guide_106, one, smoke, two; found"):
        composed(*words, "experiment=three")


def test_a_path_of_any_characters_is_read_as_it_is(odd):
    config = composed("data=tiny", f"output_dir={odd}", f"data.path={odd}", f"cache_dir={odd}")
    assert (config.output_dir, config.data.path, config.cache_dir) == (str(odd),) * 3
    (simulated,) = check_overrides("simulate", [f"output={odd}"], SimulateConfig)
    assert simulated.output == str(odd)
    words = normalise_arguments([f"output_dir={odd}", f"data.path={odd}"])
    assert normalise_arguments(words) == words


def test_a_shell_reads_a_command_line_as_it_was_meant(odd):
    words = ["train", f"resume={odd}", "--config-dir", str(odd)]
    assert shlex.split(format_command(*words)) == ["survlstm", *words]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--config-dir", "nowhere"], "--config-dir must be a folder with config groups; found no folder nowhere"),
        (["--config-dir"], "--config-dir/-cd: expected one argument"),
        (["hydra.searchpath=[file:///nowhere]"], "hydra.searchpath must list folders .*; found no folder .*/nowhere"),
        (["--epochs", "50"], "there is no flag --epochs; values are written key=value, as in trainer.epochs=50"),
        (["--experimental-rerun", "x.pickle"], "survlstm rerun RUN repeats a run"),
        (["-m", "seed=1,2", "hydra.sweep.dir=swp"], "hydra.sweep.dir must stay .*; found 'swp'. Set output_dir=swp"),
        (["data.path=HERE,HERE"], "data.path must be one folder; found 2. Several are a sweep, which needs -m"),
        (["hydra.mode=MULTIRUN"], "hydra.mode=MULTIRUN must be left out; survlstm train -m makes a sweep"),
        (["-m", "data.path=HERE,/nowhere"], "several separated by commas; found no folder /nowhere"),
    ],
)
def test_dead_ends_name_the_way_out(tmp_path, words, sentence):
    words = [word.replace("HERE", str(tmp_path)) for word in words]
    with pytest.raises(ConfigError, match=sentence):
        check_overrides("train", words, RunConfig)


def test_a_config_file_of_the_users_own_may_not_move_a_sweep_either(tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(f"{OWN}hydra: {{sweep: {{dir: elsewhere}}}}\n")
    with pytest.raises(ConfigError, match=r"hydra.sweep.dir must stay as it is; found 'elsewhere'. Set output_dir="):
        composed("experiment=mine", "--config-dir", str(tmp_path))


def test_folders_between_commas_are_a_sweep(tmp_path):
    names = ["one", "two, [x]", "three=3"]
    for name in names:
        (tmp_path / name).mkdir()
    words = ["-m", "data.path=" + ",".join(str(tmp_path / name) for name in names)]
    for asked in (words, normalise_arguments(words)):
        configs = check_overrides("train", asked, RunConfig)
        assert [config.data.path for config in configs] == [str(tmp_path / name) for name in names]
    # One folder whose name holds the comma is one.
    (one,) = check_overrides("train", ["-m", f"data.path={tmp_path / 'two, [x]'}"], RunConfig)
    assert one.data.path == str(tmp_path / "two, [x]")


def test_flags_stand_in_any_order():
    flags = read_flags(["seed=1,2", "--config-dir=x", "-m", "data=tiny"])
    assert (flags.multirun, flags.config_dir, flags.overrides) == (True, "x", ["seed=1,2", "data=tiny"])
    assert normalise_arguments(["data=tiny", "--cfg", "job"]) == ["--cfg=job", "data=tiny"]


@pytest.mark.parametrize(
    "word", ["-m", "--multirun", "hydra/launcher=joblib", "hydra.sweep.dir=x", "hydra.sweeper.x=1"]
)
def test_one_run_refuses_what_belongs_to_a_sweep_and_nothing_else(word):
    with pytest.raises(ConfigError, match="resume is for one run; leave out the options of a sweep: "):
        refuse_sweep_options([word, "resume=x"], "resume")
    refuse_sweep_options(["--config-dir=x", "hydra.searchpath=[x]", "hydra.verbose=true", "seed=1"], "resume")


@pytest.mark.parametrize(
    ("launcher", "extra"), [("two_at_once", "joblib"), ("joblib", "joblib"), ("slurm", "submitit")]
)
def test_a_launcher_without_its_extra_names_the_pip_line(monkeypatch, launcher, extra):
    # With its extra a launcher is registered when hydra looks for plugins; here it is as if none had been found.
    Plugins.instance()
    launchers = ConfigStore.instance().repo["hydra"]["launcher"]
    for name in ("joblib", "submitit_slurm", "submitit_local"):
        monkeypatch.delitem(launchers, f"{name}.yaml")
    with pytest.raises(ConfigError, match=rf"pip install 'survlstm\[{extra}\]'"):
        check_overrides("train", ["-m", "seed=1,2", f"hydra/launcher={launcher}"], RunConfig)
