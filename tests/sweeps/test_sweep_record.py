"""sweep.json may be anybody's: of its words only plain overrides of survlstm's own keys are run."""

import json
import pickle
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from survlstm.config.schema.run import RunConfig
from survlstm.config.validation import schema_keys
from survlstm.sweeps.record import MOST_WORDS, count_values, read_sweep_record, recorded_words
from survlstm.sweeps.sweep_overrides import planned_jobs, read_sweep_words, record_words
from survlstm.utils.errors import ConfigError


def recorded(folder, *words):
    folder.mkdir(exist_ok=True)
    (folder / "sweep.json").write_text(json.dumps({"words": list(words)}))
    return folder


@pytest.mark.parametrize(
    "words",
    [
        ["data=tiny", "model.dropout=0.1,0.3", "optimizer.weight_decay=1e-5"],
        ["experiment=smoke", "seed=range(0,5)", "split.fold=0,1,2,3,4"],
        ["outcome=first_code", "outcome.codes=[SNOMED/44054006,LOINC/4548-4]", "seed=1,2"],
        ["clock=landmark", "clock.visit=null", "clock.day=choice(100,200)", "evaluation.landmarks.visits=[2,5]"],
        ["model=lstm_small,lstm_medium", "scheduler=choice(cosine,none)", "data.path='/my data/a=b,c'"],
        ["model=glob(*)", "logger=mlflow", "logger.experiment=night", "seed=0"],
        ["hydra/launcher=two_at_once", "hydra.launcher.n_jobs=-1", "seed=1,2"],
        ["hydra/launcher=slurm", "hydra.launcher.partition=gpu", "hydra.launcher.gres=gpu:a100:1", "seed=1,2"],
    ],
)
def test_what_people_sweep_over_is_completed_without_saying_it_again(tmp_path, words):
    record_words(tmp_path / "sweep", ["-m", *words])
    found, _ = read_sweep_words([f"sweep.resume={tmp_path / 'sweep'}"])
    assert found == ["-m", *words, f"output_dir={tmp_path / 'sweep'}"]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        (
            "+hydra.callbacks.x._target_=pandas.read_pickle",
            r"found \+hydra\.callbacks\.x\._target_, which adds, deletes",
        ),
        ("++hydra.callbacks.x.y=1", r"found \+\+hydra\.callbacks\.x\.y, which adds, deletes or moves a key"),
        ("+foo=1", r"found \+foo, which adds"),
        ("++trainer.epochs=1", r"found \+\+trainer\.epochs, which adds"),
        ("~logger", "found ~logger, which adds"),
        ("model@data=lstm_small", "found model@data, which adds, deletes or moves"),
        ("hydra.callbacks={x:1}", "found hydra.callbacks, which is hydra's own"),
        ("hydra.searchpath=[file:///tmp/x]", "found hydra.searchpath, which is hydra's own"),
        ("hydra.sweep.dir=/tmp/x", "found hydra.sweep.dir, which is hydra's own"),
        ("hydra.run.dir=x", "found hydra.run.dir, which is hydra's own"),
        ("hydra.job.env_set={A:b}", "found hydra.job.env_set, which is hydra's own"),
        ("hydra/sweeper=other", "found hydra/sweeper, which is hydra's own"),
        ("hydra/callbacks=x", "found hydra/callbacks, which is hydra's own"),
        ("hydra/launcher=evil", "found hydra/launcher, which is hydra's own"),
        ("hydra/launcher=../../evil", "found hydra/launcher, which is hydra's own"),
        ("hydra.launcher._target_=os.system", "found hydra.launcher._target_, which names a class"),
        ("hydra.launcher.setup=['rm -r x']", "found hydra.launcher.setup, which is hydra's own"),
        ("hydra.launcher.python=/tmp/x", "found hydra.launcher.python, which is hydra's own"),
        ("hydra.launcher.additional_parameters={a:b}", "hydra's own"),
        ('hydra.launcher.partition="a\\nrm -r x"', "found hydra.launcher.partition, which is hydra's own"),
        ("hydra.launcher.partition='a b'", "found hydra.launcher.partition, which is hydra's own"),
        ("hydra.launcher.pre_dispatch=2", "found hydra.launcher.pre_dispatch, which is hydra's own"),
        ("model._target_=os.system", "found model._target_, which names a class"),
        ("scheduler={_target_:os.system}", "found scheduler, which names a class"),
        ("data.source={_target_:'os.system'}", "found data.source, which names a class"),
        ("cache_dir=${oc.env:SECRET}", r"found an interpolation, \$\{\.\.\.\}, for cache_dir"),
        ("outcome.codes=['X/${oc.env:SECRET}']", r"found an interpolation, .* for outcome\.codes"),
        ("experiment=../../../tmp/evil", "found experiment, whose value is no file of that group"),
        ("experiment=/tmp/evil", "found experiment, whose value is no file of that group"),
        ("experiment=file://tmp/evil", "whose value is no file of that group"),
        ("experiment=smoke,../evil", "whose value is no file of that group"),
        ("trainer={epochs:1}", "found trainer, whose value is no file of that group"),
        ("output_dir=/tmp/x", "found output_dir, which is not among those keys"),
        ("resume=/tmp/x", "found resume, which is not among those keys"),
        ("sweep.resume=/tmp/x", "found sweep.resume, which is not among those keys"),
        ("tune=lstm", "found tune, which is not among those keys"),
        ("unheard.of=1", "found unheard.of, which is not among those keys"),
        ("seed=range(0,1000000000000)", "found more than 10,000 values for seed"),
        ("seed=shuffle(range(0,1000000000000))", "found more than 10,000 values for seed"),
        ("model.dropout=range(0,1,0.0000001)", "found more than 10,000 values for model.dropout"),
    ],
)
def test_no_other_word_of_a_record_is_run(tmp_path, word, said):
    recorded(tmp_path / "sweep", "data=tiny", word, "seed=0,1")
    with pytest.raises(ConfigError, match=said) as caught:
        read_sweep_words([f"sweep.resume={tmp_path / 'sweep'}"])
    assert "Give all overrides of the sweep again: survlstm train -m" in str(caught.value)


@pytest.mark.parametrize("word", ["--config-name=evil", "-p", "--hydra-help", "--info=all", "-cn", "--nonsense"])
def test_a_flag_in_a_record_is_refused(tmp_path, word):
    recorded(tmp_path / "sweep", "data=tiny", word, "seed=0,1")
    with pytest.raises(ConfigError, match=r"must hold overrides of survlstm train; found the flag"):
        read_sweep_words([f"sweep.resume={tmp_path / 'sweep'}"])


@pytest.mark.parametrize(
    "content",
    [
        "torn",
        "[]",
        "{}",
        '{"words": "data=tiny"}',
        '{"words": [1]}',
        '{"words": [["data=tiny"]]}',
        '{"words": [null]}',
        '{"words": ["no override"]}',
        '{"words": ["=1"]}',
        '{"words": ["a=[[[["]}',
        '{"words": NaN}',
        "[" * 100_000,
        json.dumps({"words": ["seed=0"] * (MOST_WORDS + 1)}),
        json.dumps({"words": ["data.path=" + "x" * 20_001]}),
        " " * ((1 << 20) + 1),
    ],
    ids=range(15),
)
def test_a_record_that_is_none_says_so_in_one_sentence(tmp_path, content):
    (tmp_path / "sweep.json").write_text(content)
    with pytest.raises(ConfigError, match=r"has none that can be read|must hold overrides of survlstm train") as caught:
        read_sweep_record(tmp_path)
    assert len(str(caught.value)) < 600


def test_the_users_own_words_may_hold_anything_and_the_record_is_only_compared(tmp_path):
    words = ["+hydra.callbacks.x._target_=my.Callback", "data=tiny", "cache_dir=${oc.env:HOME}", "seed=0,1"]
    record_words(tmp_path / "sweep", ["-m", *words])
    resume = f"sweep.resume={tmp_path / 'sweep'}"
    with pytest.raises(ConfigError, match="which adds, deletes or moves a key"):
        read_sweep_words([resume])
    found, _ = read_sweep_words(["-m", *words, resume])
    assert found[1:-1] == words
    with pytest.raises(ConfigError, match="completed with the overrides it was started with"):
        read_sweep_words(["-m", *words[1:], resume])


@pytest.fixture
def credentials(monkeypatch, tmp_path):
    """A user with a token for a server of their own."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mine.example")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "hunter2")


def test_a_server_that_only_the_record_names_does_not_get_credentials(tmp_path, credentials, monkeypatch):
    resume = f"sweep.resume={tmp_path / 'sweep'}"
    for mine in ("null", "https://mine.example", "sqlite:////tmp/x.db", "'sqlite:////tmp/x.db'"):
        recorded(tmp_path / "sweep", "logger=mlflow", f"logger.store={mine}", "seed=0,1")
        assert read_sweep_words([resume]).words[2] == f"logger.store={mine}"
    recorded(tmp_path / "sweep", "logger=mlflow", "logger.store=https://evil.example", "seed=0,1")
    with pytest.raises(
        ConfigError, match=r"there are credentials \(MLFLOW_TRACKING_TOKEN\); found it only in"
    ) as caught:
        read_sweep_words([resume])
    assert "hunter2" not in str(caught.value)
    # Without credentials nothing is sent that the user would not send to anybody.
    monkeypatch.delenv("MLFLOW_TRACKING_TOKEN")
    assert read_sweep_words([resume]).words[2] == "logger.store=https://evil.example"


class Mischief:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return (Path.touch, (self.file,))


def test_a_pickle_named_in_a_sweeps_folder_is_not_opened(survlstm, tmp_path, capsys):
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Mischief(tmp_path / "ran")))
    callback = [f"+hydra.callbacks.x.{key}" for key in ("_target_=pandas.read_pickle", "filepath_or_buffer=evil.pkl")]
    recorded(tmp_path / "sweep", "experiment=smoke", "seed=0,1", *callback)
    assert survlstm("train", f"sweep.resume={tmp_path / 'sweep'}") == 2
    assert "found +hydra.callbacks.x._target_, which adds, deletes or moves a key" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["evil.pkl", "sweep"]
    # The same behind a folder of configs, which only the command line may name.
    (tmp_path / "cfg" / "experiment").mkdir(parents=True)
    target = "    _target_: pandas.read_pickle\n    filepath_or_buffer: evil.pkl\n"
    text = f"# @package _global_\nhydra:\n callbacks:\n  x:\n{target}"
    (tmp_path / "cfg" / "experiment" / "evil.yaml").write_text(text)
    for words in (
        ["--config-dir", str(tmp_path / "cfg"), "experiment=evil", "seed=0,1"],
        [f"hydra.searchpath=[file://{tmp_path / 'cfg'}]", "experiment=evil", "seed=0,1"],
        ["experiment=../../../../../../../../../../../.." + str(tmp_path / "cfg" / "experiment" / "evil"), "seed=0,1"],
    ):
        recorded(tmp_path / "sweep", *words)
        assert survlstm("train", f"sweep.resume={tmp_path / 'sweep'}") == 2
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("word", "count"),
    [
        ("seed=1", 1),
        ("seed=1,2,3", 3),
        ("seed=choice(1,2)", 2),
        ("seed=range(0,7,2)", 4),
        ("seed=range(7,0,-2)", 4),
        ("seed=range(5,5)", 0),
        ("seed=range(0,1,0.25)", 4),
        ("model=glob(*)", None),
        ("seed=interval(0,1)", None),
    ],
)
def test_values_are_counted_without_making_them(word, count):
    override = OverridesParser.create().parse_override(word)
    assert count_values(override) == count
    if count and override.is_sweep_override():
        assert len(list(override.sweep_string_iterator())) == count


def test_the_jobs_of_endless_words_are_counted_at_once():
    assert planned_jobs(["seed=range(0,1000000000000)", "model.dropout=0.1,0.2"]) == 2 * 10**12
    assert planned_jobs(["model=glob(*)", "seed=0,1"]) is None


def test_the_keys_are_those_of_all_groups():
    assert {
        "clock.day",
        "outcome.codes",
        "scheduler.T_max",
        "logger.store",
        "trainer.budget.hours",
    } <= schema_keys(RunConfig)
    assert not any("_target_" in key or "target" in key.split(".") for key in schema_keys(RunConfig))


def test_words_to_run_come_as_they_were(tmp_path):
    record_words(tmp_path, ["data=tiny", "seed=0,1"])
    assert recorded_words(tmp_path, read_sweep_record(tmp_path), config_dir=None) == ["data=tiny", "seed=0,1"]
