"""Settings of a class of the user's own are checked against its constructor: one sentence for each fault."""

import importlib
import linecache
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import nn

from survlstm.config import class_loader
from survlstm.config.class_loader import (
    check_methods,
    checked_settings,
    class_digest,
    load_class,
    named_classes,
    search_beside,
)
from survlstm.config.compose import check_overrides
from survlstm.config.schema.run import RunConfig
from survlstm.config.validation import validate_stored
from survlstm.models.factory import build_model
from survlstm.models.protocol import ModelSizes
from survlstm.training.factory import build_optimizer, build_schedule
from survlstm.utils.errors import ClosedClassError, ConfigError


class Model:
    def __init__(self, *, size: int, rate: float = 0.1, names: tuple[str, ...] = (), given: int, kind="x"):
        self.size, self.rate, self.names, self.given, self.kind = size, rate, names, given, kind


@dataclass
class Typed:
    folder: Path
    mode: Literal["fast", "slow"] = "fast"
    shape: Sequence[int] = ()
    device: torch.device | None = None
    anything: Any = None


def settings_of(found, /, **settings):
    given = ["given"] if found is Model else []
    return checked_settings(found, settings, section="model", target="my.Model", given=given)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"size": 3, "sise": 4}, r"^model\.sise is not a setting of my\.Model; the nearest is model\.size$"),
        ({"size": 3, "zzzz": 4}, r"^model\.zzzz is not a setting of my\.Model; it has size, rate, names, kind$"),
        ({}, r"^model\.size is missing: my\.Model has no default for it; set model\.size=VALUE$"),
        ({"size": "big"}, r"^model\.size must be what my\.Model takes: must be a valid integer; found 'big'$"),
        ({"size": 2.5}, "must be a valid integer; found 2.5"),
        ({"size": True}, "must be a valid integer; found True"),
        ({"size": 3, "rate": "0.1"}, r"model\.rate must be what .*must be a valid number; found '0\.1'"),
        ({"size": 3, "names": "a"}, r"model\.names must be what .* must be a valid array; found 'a'"),
        ({"size": 3, "given": 1}, r"^model\.given is passed to my\.Model by survlstm itself; leave it out$"),
    ],
)
def test_each_fault_is_a_sentence(settings, said):
    with pytest.raises(ValueError, match=said):
        settings_of(Model, **settings)


def test_all_faults_are_named_at_once():
    with pytest.raises(ValueError, match=r"model\.sise is not(.|\n)*model\.size is missing(.|\n)*model\.rate must be"):
        settings_of(Model, sise=1, rate="x")


def test_values_become_what_the_annotations_ask_for():
    assert settings_of(Model, size=3, rate=1, names=["a", "b"], kind=[1]) == {
        "size": 3,
        "rate": 1.0,
        "names": ("a", "b"),
        "kind": [1],
    }
    found = settings_of(Typed, folder="out", mode="slow", shape=[1, 2], anything={"a": 1})
    assert found == {"folder": Path("out"), "mode": "slow", "shape": [1, 2], "anything": {"a": 1}}
    with pytest.raises(ValueError, match=r"model\.mode must be .*'fast' or 'slow'; found 'x'"):
        settings_of(Typed, folder="out", mode="x")


def test_a_constructor_that_takes_anything_gets_anything():
    def make(**settings):
        return settings

    assert settings_of(make, a=1, b="c") == {"a": 1, "b": "c"}


def test_an_argument_of_survlstms_that_the_constructor_lacks():
    def make(size):
        return size

    with pytest.raises(ValueError, match=r"^model\._target_: my\.Model must take the keyword argument given$"):
        checked_settings(make, {"size": 1}, section="model", target="my.Model", given=["given"])


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("Model", "must be the dotted name of a class, as in mypackage.MyClass; found 'Model'"),
        ("no_such_package.Model", r"no_such_package\.Model can't: ModuleNotFoundError: No module .*set PYTHONPATH"),
        ("torch.nn.Linea", r"torch\.nn has no Linea; the nearest is torch\.nn\.Linear"),
        ("math.pi", "math has no pi"),
        ("broken_module.Model", r"broken_module\.Model can't: RuntimeError: spam"),
    ],
)
def test_a_class_that_cannot_be_loaded(target, said, tmp_path, monkeypatch):
    (tmp_path / "broken_module.py").write_text("raise RuntimeError('spam\\nand more')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=said):
        load_class(target)


def test_a_class_beside_a_config_file_is_found_and_takes_the_place_of_none(tmp_path, monkeypatch):
    monkeypatch.setattr(class_loader, "_config_folders", [])
    monkeypatch.setattr("sys.path", list(class_loader.sys.path))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "beside_the_group.py").write_text("class Model: pass\n")
    (tmp_path / "json.py").write_text("raise RuntimeError('imported')\n")
    search_beside([tmp_path])
    assert load_class("beside_the_group.Model").__name__ == "Model"
    assert load_class("json.JSONDecoder").__module__ == "json.decoder"


def test_methods_that_are_missing():
    check_methods(nn.Linear, "torch.nn.Linear", ["forward"], "protocol")
    with pytest.raises(ValueError, match=r"with the methods forward, step \(protocol\); torch\.nn\.Linear lacks step"):
        check_methods(nn.Linear, "torch.nn.Linear", ["forward", "step"], "protocol")


@pytest.mark.parametrize("changed", ["parent_module", "child_module"])
def test_the_digest_changes_with_the_code_of_a_class_and_its_parents(changed, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(class_loader.sys, "dont_write_bytecode", True)
    texts = {
        "parent_module": "class Parent:\n    value = 1\n",
        "child_module": "from parent_module import Parent\n\n\nclass Child(Parent):\n    other = 1\n",
    }

    def digest():
        for name, text in texts.items():
            (tmp_path / f"{name}.py").write_text(text)
            class_loader.sys.modules.pop(name, None)
        importlib.invalidate_caches()
        linecache.clearcache()
        return class_digest(load_class("child_module.Child"))

    before = digest()
    assert digest() == before
    texts[changed] += "    more = 2\n"
    assert digest() != before


def test_every_class_of_a_config_is_listed():
    config = {"model": {"_target_": "a.B"}, "evaluation": {"baselines": ["cox", {"_target_": "c.D"}]}, "seed": 0}
    assert named_classes(config) == ["a.B", "c.D"]


def config_of(*overrides):
    (config,) = check_overrides("train", ["data=tiny", *overrides], RunConfig)
    return config


def test_any_optimizer_and_schedule_of_torch_can_be_named():
    config = config_of(
        "~optimizer",
        "+optimizer={_target_: torch.optim.SGD, lr: 0.1, momentum: 0.9}",
        "~scheduler",
        "+scheduler={_target_: torch.optim.lr_scheduler.StepLR, step_size: 2, gamma: 0.5}",
    )
    optimizer = build_optimizer(config.optimizer, nn.Linear(2, 1))
    assert isinstance(optimizer, torch.optim.SGD)
    schedule = build_schedule(config.scheduler, optimizer)
    optimizer.step()
    for _ in range(2):
        schedule.step(val_loss=1.0)
    assert optimizer.param_groups[0]["lr"] == 0.05
    # torch is installed with survlstm, so that a stored config may name them too.
    stored = validate_stored(config.model_dump(by_alias=True), RunConfig)
    assert isinstance(build_optimizer(stored.optimizer, nn.Linear(2, 1)), torch.optim.SGD)


@pytest.mark.parametrize(
    "target", ["torch.optim.lr_scheduler.os.system", "torch.optim.x.Y", "os.system", "torch.hub.load"]
)
def test_nothing_else_of_a_stored_config_is_imported(target):
    plain = config_of().model_dump(by_alias=True)
    for section in ("model", "optimizer", "scheduler", "logger", "outcome"):
        stored = validate_stored(plain | {section: {"_target_": target}}, RunConfig)
        with pytest.raises(ClosedClassError, match=rf"^{section}\._target_ is .*add allow="):
            stored.load_classes()


@pytest.mark.parametrize("target", ["torch.optim.lr_scheduler.wraps", "torch.optim.lr_scheduler.Counter"])
def test_of_torchs_modules_only_schedulers_can_be_named_by_a_stored_file(target):
    stored = validate_stored(config_of().model_dump(by_alias=True) | {"scheduler": {"_target_": target}}, RunConfig)
    with pytest.raises(ConfigError, match=r"^scheduler\._target_ must name a class"):
        stored.load_classes()


@pytest.mark.parametrize("target", [3, ["a.B"], {"a": "b"}, True])
@pytest.mark.parametrize("section", ["model", "optimizer", "scheduler", "logger", "outcome"])
def test_a_name_of_another_type_is_a_sentence(section, target):
    plain = config_of().model_dump(by_alias=True)
    with pytest.raises(
        ConfigError, match=rf"^{section}\._target_ must be one of .*or the dotted name of another class"
    ):
        validate_stored(plain | {section: {"_target_": target}}, RunConfig)


def test_a_model_must_be_a_module():
    config = config_of("~model", "+model={_target_: tests.config.test_class_loader.NoModule}")
    with pytest.raises(ConfigError, match=r"must be a torch\.nn\.Module; .*NoModule made a NoModule"):
        build_model(config.model, ModelSizes(vocabulary_size=3), mean_hazard=[0.1])


class NoModule:
    def __init__(self, *, vocabulary_size, visit_features, intervals, mean_hazard):
        pass

    def forward(self):
        pass

    state_dict = load_state_dict = forward


class WithoutTimes(nn.Module):
    def __init__(self, *, vocabulary_size, visit_features, intervals, mean_hazard):
        super().__init__()
        self.intervals = intervals


class WithTimes(WithoutTimes):
    def __init__(self, *, prediction_features, **sizes):
        super().__init__(**sizes)
        self.prediction_features = prediction_features


def own_model(name, *words):
    return config_of("~model", f"+model={{_target_: tests.config.test_class_loader.{name}}}", *words)


def test_on_the_days_clock_a_model_takes_the_features_of_a_prediction_time():
    for words in ((), ("clock=landmark",)):
        assert own_model("WithoutTimes", *words).model.target.endswith("WithoutTimes")
    said = r"on clock=days a model must take the keyword argument prediction_features, .*WithoutTimes does not\. Add"
    with pytest.raises(ConfigError, match=said):
        own_model("WithoutTimes", "clock=days")
    config = own_model("WithTimes", "clock=days")
    built = build_model(
        config.model, ModelSizes(vocabulary_size=3, intervals=2, prediction_features=1), mean_hazard=[0.1, 0.2]
    )
    assert (built.prediction_features, built.intervals) == (1, 2)


def test_a_stored_config_of_the_days_clock_is_checked_where_its_model_is_loaded():
    plain = own_model("WithoutTimes").model_dump(by_alias=True)
    plain |= {"clock": config_of("clock=days").model_dump(by_alias=True)["clock"]}
    stored = validate_stored(plain, RunConfig, allow=["tests.config.test_class_loader.WithoutTimes"])
    with pytest.raises(ConfigError, match=r"must take the keyword argument prediction_features"):
        stored.load_classes()


def test_the_features_of_a_prediction_time_are_no_setting():
    with pytest.raises(ConfigError, match=r"model\.prediction_features is passed to .*WithTimes by survlstm itself"):
        own_model("WithTimes", "clock=days", "+model.prediction_features=3")
