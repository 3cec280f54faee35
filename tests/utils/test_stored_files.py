"""Files of others: plain values of bounded size, in which nothing is looked up and nothing is imported."""

import os
import sys
import time
import tracemalloc

import pytest
import torch
from omegaconf import OmegaConf

from survlstm.config.compose import check_overrides
from survlstm.config.schema.run import RunConfig
from survlstm.config.validation import validate, validate_stored
from survlstm.training.history import Epoch, History, Usage
from survlstm.utils.errors import ClosedClassError, ConfigError
from survlstm.utils.stored_files import MOST_LEVELS, find_fault, parse_fields, parse_json, parse_yaml, read_bytes

TINY = ["data=tiny", "trainer=smoke"]


def config_of(**changes):
    """A plain config of a tiny run; ``section__key=value`` changes a value of a section."""
    (config,) = check_overrides("train", TINY, RunConfig)
    values = config.model_dump(by_alias=True)
    for name, value in changes.items():
        section, _, key = name.partition("__")
        values[section] = values[section] | {key: value} if key else value
    return values


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"cache_dir": "${oc.env:SECRET}"}, "cache_dir"),
        ({"cache_dir": "/tmp/${oc.env:SECRET}/x"}, "cache_dir"),
        ({"outcome__planted_codes": ["X/1", "X/${oc.env:SECRET}"]}, "outcome.planted_codes"),
        ({"data__path": "${oc.decode:${oc.env:SECRET}}"}, "data.path"),
        ({"model__hidden_dim": "${seed}"}, "model.hidden_dim"),
        ({"logger": {"_target_": None, "more": {"deep": ["${now:}"]}}}, "logger.more.deep"),
    ],
)
def test_no_interpolation_of_a_stored_config_is_resolved(monkeypatch, changes, key):
    monkeypatch.setenv("SECRET", "hunter2")
    values = config_of(**changes)
    with pytest.raises(ConfigError, match=rf"^{key} must be a plain value; found an interpolation") as caught:
        validate_stored(values, RunConfig, finished=True)
    assert "hunter2" not in str(caught.value)


def test_the_users_own_interpolation_is_resolved_and_what_is_kept_is_the_value(monkeypatch, tmp_path):
    monkeypatch.setenv("MINE", str(tmp_path))
    (config,) = check_overrides("train", [*TINY, "cache_dir=${oc.env:MINE}"], RunConfig)
    assert config.cache_dir == str(tmp_path)
    # A value that looks like another interpolation is not resolved once more.
    monkeypatch.setenv("MINE", "${oc.env:HOME}")
    with pytest.raises(ConfigError, match=r"^cache_dir must be a plain value; found an interpolation"):
        check_overrides("train", [*TINY, "cache_dir=${oc.env:MINE}"], RunConfig)


@pytest.mark.parametrize("section", ["model", "optimizer", "scheduler", "outcome", "logger", "data"])
def test_a_class_that_survlstm_did_not_put_there_is_neither_imported_nor_made(tmp_path, monkeypatch, section):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "evil_module.py").write_text("raise SystemExit('imported')\n")
    values = config_of()
    place = values["data"]["source"] if section == "data" else values[section]
    place["_target_"] = "evil_module.Evil"
    stored = validate_stored(values, RunConfig, finished=True)
    with pytest.raises(ClosedClassError, match=r"_target_ is evil_module\.Evil, which is not part of survlstm"):
        stored.load_classes()
    assert "evil_module" not in sys.modules


def test_a_class_inside_a_list_is_refused_too():
    values = config_of(outcome__planted_codes=[{"_target_": "os.system"}])
    with pytest.raises(ConfigError, match=r"outcome\.planted_codes: each must read SYSTEM/CODE"):
        validate_stored(values, RunConfig)


def deep(levels):
    return {"a": deep(levels - 1)} if levels else 1


def endless():
    values = {"a": []}
    values["a"].append(values)
    return values


def doubling(levels):
    """A value that is small in memory and has 2 to the power of ``levels`` ends."""
    return [doubling(levels - 1)] * 2 if levels else 1


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1], "a config must be a mapping of keys to values; found list"),
        (None, "a config must be a mapping of keys to values; found nothing"),
        ({"a": {1: 2}}, "every key of a config must be text; found another below a"),
        ({"a": torch.zeros(3)}, "a must be a plain value; found Tensor"),
        ({"a": {"b": {1, 2}}}, "a.b must be a plain value; found set"),
        (deep(MOST_LEVELS + 1), "at most 16 levels and 100,000 values; found more at a.a.a"),
        (endless(), "at most 16 levels and 100,000 values"),
        ({"a": [0] * 100_001}, "at most 16 levels and 100,000 values; found more at a"),
        ({"a": doubling(14), "b": doubling(14), "c": [doubling(12)] * 10}, "100,000 values; found more at"),
    ],
)
def test_what_is_no_plain_config_says_so(values, said):
    began = time.monotonic()
    found = find_fault(values)
    assert time.monotonic() - began < 5
    assert said in found


def test_an_endless_value_in_a_stored_config_is_refused_in_one_short_sentence():
    with pytest.raises(ConfigError, match="at most 16 levels") as caught:
        validate_stored(config_of(outcome__planted_codes=endless()["a"]), RunConfig)
    assert len(str(caught.value)) < 300


def test_a_long_value_is_cut_in_a_sentence():
    with pytest.raises(ConfigError, match=r"seed: must be a valid integer; found 'xxx") as caught:
        validate_stored(config_of(seed="x" * 10**6), RunConfig)
    assert len(str(caught.value)) < 400


def test_yaml_is_read_as_hydra_reads_it():
    text = b"a: 1e-3\nb: 2024-04-01\nc: '1e-3'\nd: null\ne: [1, 2.5, x]\nf: true\ng: .5\nh: 1_000\n"
    found = parse_yaml(text)
    assert found == OmegaConf.to_container(OmegaConf.create(text.decode()))
    assert (found["a"], found["b"], found["c"]) == (0.001, "2024-04-01", "1e-3")


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LAUGHS.encode(), "ComposerError: aliases are not read"),
        (b"!!python/object/apply:os.system [true]", "ConstructorError"),
        (b"!!python/name:os.system", "ConstructorError"),
        (b"a: [1, 2", "ParserError"),
        (b"[" * 20_000, "RecursionError|ParserError"),
        (b"a: \xff", "codec can't decode"),
        (b"a: 1\na: &b 2\nc: *b\n", "aliases are not read"),
    ],
)
def test_yaml_that_is_more_than_plain_values_is_refused(text, said):
    with pytest.raises(ValueError, match=said):
        parse_yaml(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'{"a": NaN}', "numbers must be finite; found NaN"),
        (b'{"a": -Infinity}', "numbers must be finite; found -Infinity"),
        (b'{"a": 1e999}', "numbers must be finite; found 1e999"),
        (b"[" * 100_000, "must not be nested so deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "limit"),
        (b'{"a": "\xff"}', "codec can't decode"),
        (b"{", "Expecting"),
        (b"", "Expecting"),
    ],
)
def test_json_is_strict(text, said):
    with pytest.raises(ValueError, match=said):
        parse_json(text)


def test_a_file_is_read_up_to_a_size_and_a_pipe_is_not_waited_for(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    assert read_bytes(tmp_path / "file", most=5) == b"12345"
    with pytest.raises(ValueError, match="file must have at most 4 bytes; found 5"):
        read_bytes(tmp_path / "file", most=4)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="pipe is not a file"):
        read_bytes(tmp_path / "pipe", most=5)
    with pytest.raises(FileNotFoundError, match="nothing"):
        read_bytes(tmp_path / "nothing", most=5)


def test_reading_a_small_file_takes_little_memory(tmp_path):
    """A run that has run out of memory still reads its manifest, to write how it ended."""
    (tmp_path / "file").write_text("12345")
    tracemalloc.start()
    read_bytes(tmp_path / "file", most=1 << 26)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


EPOCH = {
    "epoch": 1,
    "train_loss": 2.0,
    "val_loss": 2.1,
    "val_c_td": float("nan"),
    "lr": 0.001,
    "grad_norm": 1.0,
    "seconds": 0.1,
    "subjects_per_second": 100.0,
}


def test_a_value_is_built_from_exactly_its_fields():
    assert parse_fields(Epoch, EPOCH).train_loss == 2.0
    history = History(10, 1.5, epochs=[parse_fields(Epoch, EPOCH)], best_epoch=1, usage=Usage(seconds=3.0))
    assert str(History.from_plain(history.as_plain())) == str(history)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epoch": "1"}, "epoch of Epoch is invalid"),
        ({"epoch": True}, "epoch of Epoch is invalid"),
        ({"lr": None}, "lr of Epoch is invalid"),
        ({"lr": [0.1]}, "lr of Epoch is invalid"),
        ({"more": 1}, "Epoch must have the fields epoch, train_loss"),
    ],
)
def test_a_field_of_another_type_is_named(changes, said):
    with pytest.raises(ValueError, match=said):
        parse_fields(Epoch, EPOCH | changes)
    with pytest.raises(ValueError, match="must have the fields"):
        parse_fields(Epoch, {key: value for key, value in EPOCH.items() if key != "lr"})
    with pytest.raises(ValueError, match=r"must have the fields .*; found nothing"):
        parse_fields(Usage, None)


def test_validate_resolves_and_validate_stored_does_not():
    composed = OmegaConf.create(config_of() | {"seed": 3, "split": config_of()["split"] | {"seed": "${seed}"}})
    assert validate(composed, RunConfig).split.seed == 3
    with pytest.raises(ConfigError, match=r"split\.seed must be a plain value"):
        validate_stored(OmegaConf.to_container(composed, resolve=False), RunConfig)
