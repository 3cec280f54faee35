"""What is written in conf/tune → dimensions and overrides, and a sentence for all that is no space."""

import pytest

from survlstm.config.compose import check_overrides
from survlstm.config.conf_dir import conf_dir
from survlstm.tuning import TuneConfig
from survlstm.tuning.check_space import check_trials
from survlstm.tuning.space import Choice, FloatRange, IntRange, overrides, read_space
from survlstm.utils.errors import ConfigError
from tests.tuning.bowl import config_of

RANGE = {"kind": "float", "low": 0.1, "high": 0.5}


def checked(*words):
    (config,) = check_overrides("tune", list(words), TuneConfig)
    check_trials(config)
    return config


@pytest.mark.parametrize("file", sorted(path.stem for path in (conf_dir() / "tune").glob("*.yaml")))
def test_every_space_composes_and_can_be_trained_with(file):
    config = checked(f"tune={file}")
    assert config.name == file
    assert config.output_dir == f"outputs/tune/{file}"


def test_sections_and_dotted_keys_say_the_same():
    dimension = FloatRange(kind="float", low=0.1, high=0.5)
    assert (
        read_space({"model": {"dropout": RANGE}})
        == read_space({"model.dropout": RANGE})
        == {"model.dropout": dimension}
    )
    kind = {"kind": "choice", "choices": ["visit", "landmark"]}
    assert list(read_space({"clock": {"kind": kind}, "model": kind})) == ["clock.kind", "model"]


def test_one_bound_can_be_set_on_the_command_line():
    config = checked("space.model.dropout.high=0.5", "+space.model.num_layers={kind:int,low:1,high:3}")
    assert config.space["model.dropout"].high == 0.5
    assert config.space["model.num_layers"] == IntRange(kind="int", low=1, high=3)


def test_values_are_written_as_overrides_write_them():
    options = Choice(kind="choice", choices=[None, True, 1, 0.5, "cosine", ["age", "log_codes"]]).options
    assert options == ["null", "true", "1", "0.5", "cosine", "[age,log_codes]"]
    assert overrides({"optimizer.lr": 1.25e-05, "model": "lstm_small"}) == ["optimizer.lr=1.25e-05", "model=lstm_small"]


WRONG = [
    ({}, r"space must name at least one override to search over, as \+space\.model\.dropout=.* found none"),
    ({"a": 3}, r"space\.a must say what it may be, as .* found 3"),
    ({"a": {"kind": "flaot", "low": 1}}, r"space\.a\.kind must be one of float, int, choice; found 'flaot'"),
    ({"a": {"low": 1, "high": 2}}, r"space\.a\.kind must be one of float, int, choice; found None"),
    ({"a": {**RANGE, "hihg": 2}}, r"space\.a\.hihg is not a known key; it may be one of kind, low, high, log, step"),
    ({"a": {"kind": "float", "low": 1}}, r"space\.a\.high is missing; set space\.a\.high=VALUE"),
    ({"a": {**RANGE, "low": "x"}}, r"space\.a\.low: must be a valid number; found 'x'"),
    ({"a": {**RANGE, "low": 0.5}}, r"space\.a: low must be below high; found low=0\.5 and high=0\.5"),
    ({"a": {**RANGE, "low": 0, "log": True}}, r"space\.a: with log, low must be above 0; found low=0"),
    ({"a": {**RANGE, "log": True, "step": 0.1}}, r"space\.a: log and step exclude each other"),
    ({"a": {**RANGE, "step": 0.3}}, r"space\.a: from low to high must be whole steps; .* step=0\.3"),
    ({"a": {"kind": "int", "low": 1.5, "high": 3}}, r"space\.a\.low: must be a valid integer; found 1\.5"),
    ({"a": {"kind": "choice", "choices": [1]}}, r"space\.a: choices must name at least two values; found \[1\]"),
    ({"a": {"kind": "choice", "choices": [1, 1]}}, r"space\.a: choices must name each value once"),
    ({"a": {"b": RANGE}, "a.b": RANGE}, r"space\.a\.b must be described once"),
]


@pytest.mark.parametrize(("raw", "sentence"), WRONG)
def test_what_is_no_space_has_its_sentence(raw, sentence):
    with pytest.raises(ValueError, match=sentence):
        read_space(raw)


REFUSED = [
    (["metric=val_auc"], r"metric: must be 'val_nll' or 'val_c_td'; found 'val_auc'"),
    (["~tune"], r"space must name at least one override to search over"),
    (["+space.model.droput={kind:float,low:0,high:0.5}"], r"model\.droput is not a known key; .* model\.dropout"),
    (
        ["space.model.dropout.high=1.5"],
        r"space must hold what survlstm train takes; with .*: model\.dropout: .*found 1\.5",
    ),
    (["+space.model.hidden_dim={kind:float,low:8,high:16}"], r"model\.hidden_dim: must be a valid integer; found 8\.0"),
    (
        ["+space.scheduler={kind:choice,choices:[cosine,cosin]}"],
        r"scheduler must be one of .*nearest is scheduler=cosine",
    ),
    (["+space.scheduler={kind:choice,choices:[none,cosin,cosine]}"], r"nearest is scheduler=cosine"),
    (['base=["model.droput=1"]'], r"^model\.droput is not a known key; the nearest valid key is model\.dropout"),
    (['base=["model.dropout=0.1"]'], r"must be in base or in space, not in both; found model\.dropout"),
    (['base=["seed=1,2"]'], r"base must hold one value for each key; found 'seed=1,2'\. Put varying keys in space"),
    (["base=[smoke]"], r"base must hold overrides of survlstm train, key=value; found 'smoke'"),
    (['base=["--multirun"]'], r"base must hold overrides of survlstm train, key=value"),
    (['base=["hydra.run.dir=x"]'], r"base must hold overrides of survlstm train, not of Hydra"),
    (['base=["output_dir=x"]'], r"output_dir is set by the search"),
    (['base=["trainer=ddp"]'], r"a trial must be a run of one process"),
    (
        ['base=["trainer.auxiliary.only=true","trainer.auxiliary.next_visit_weight=1"]'],
        r"a trial must be trained on its outcome, .*only=true in base\. Leave it out",
    ),
    (["name=a/b"], r"name: must be letters, digits"),
    (["trials=0"], r"trials: must be greater than 0; found 0"),
    (["trails=3"], r"trails is not a known key; the nearest valid key is trials"),
]


@pytest.mark.parametrize(("words", "sentence"), REFUSED)
def test_a_search_that_would_fail_later_fails_before_the_first_trial(words, sentence, tmp_path):
    with pytest.raises(ConfigError, match=sentence):
        check_trials(config_of(tmp_path / "study", *words))
    assert not (tmp_path / "study").exists()
