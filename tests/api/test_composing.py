"""Overrides in Python, and the state that composing and training leave."""

import logging
import random
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir, version
from hydra.core.global_hydra import GlobalHydra

import survlstm
from survlstm.api.composition import generators_left_alone, override_words
from survlstm.config.conf_dir import conf_dir
from survlstm.config.overrides import format_override
from survlstm.config.schema.run import RunConfig


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "k=null"),
        (True, "k=true"),
        (3, "k=3"),
        (np.int64(3), "k=3"),
        (1e-5, "k=1e-05"),
        (np.float64(0.5), "k=0.5"),
        ("cpu", "k=cpu"),
        ("1", "k='1'"),
        ("null", "k='null'"),
        ("", "k=''"),
        ("a, b=c", "k='a, b=c'"),
        ("it's", r"k='it\'s'"),
        (Path("a b"), "k='a b'"),
        ([1, "x", None], "k=[1,x,null]"),
        ({"a": (1, 2)}, "k={a:[1,2]}"),
    ],
)
def test_python_values_are_written_as_overrides(value, written):
    assert format_override("k", value) == written


@pytest.mark.parametrize("text", ["1", "true", "a, b=c", "it's", r"back\slash", "x y", "[z]"])
def test_a_text_stays_that_text(text):
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        composed = compose("train", overrides=["experiment=smoke", f"+{format_override('word', text)}"])
    assert composed.word == text


def test_an_override_of_another_type_is_refused():
    with pytest.raises(survlstm.SurvlstmError, match=r"seed must be None, a number.* found object"):
        survlstm.prepare({"seed": object()})


def test_one_text_a_list_and_a_mapping_mean_the_same():
    assert (
        override_words("seed=1", function="train")
        == override_words(["seed=1"], function="train")
        == override_words({"seed": 1}, function="train")
    )
    assert override_words((), function="train", config_dir="mine", paths={"run": Path("r"), "output": None}) == [
        "--config-dir=mine",
        "run=r",
    ]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["-m", "seed=1,2"], "takes overrides, written key=value; found the flag -m"),
        (["--help"], "found the flag --help"),
        (["seed=1,2"], "several values are a sweep"),
        (["hydra/launcher=joblib"], "survlstm.train is for one run"),
        (["hydra.run.dir=x"], "set output_dir to choose the folder"),
        (["trainer.epoch=3"], "the nearest valid key is trainer.epochs"),
        ({"experiment": "smoke", "trainer.dry_run": True}, "trainer.dry_run trains none"),
        ("resume=nothing", "nothing"),
    ],
)
def test_train_refuses_in_one_sentence_and_writes_nothing(workplace, overrides, said):
    with pytest.raises(survlstm.SurvlstmError, match=said):
        survlstm.train(overrides)
    assert not list(workplace.iterdir())


def test_train_refuses_several_processes_and_another_thread(monkeypatch):
    with ThreadPoolExecutor(1) as pool, pytest.raises(survlstm.SurvlstmError, match="must run in the main thread"):
        pool.submit(survlstm.train, "experiment=smoke").result()
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("LOCAL_RANK", "0")
    with pytest.raises(survlstm.SurvlstmError, match="found 2 that torchrun started"):
        survlstm.train("experiment=smoke")


def test_train_resumes_a_run_inside_a_hydra_app_and_leaves_every_state(page, workplace):
    run = survlstm.load_run(shutil.copytree(page["other"].folder, workplace / "copy"))
    epochs = len(run.history) + 1
    log, before = logging.getLogger("survlstm"), sys.argv[:]
    torch.use_deterministic_algorithms(False)
    with initialize_config_dir(str(conf_dir()), version_base="1.2"):
        base, hydra = version.getbase(), GlobalHydra.instance().hydra
        states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
        resumed = survlstm.train({"resume": run.folder, "trainer.epochs": epochs})
        assert states == (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())
        assert (version.getbase(), GlobalHydra.instance().hydra) == (base, hydra)
        assert compose("train").trainer.epochs
    assert not torch.are_deterministic_algorithms_enabled()
    assert (log.handlers, log.level, log.propagate, sys.argv) == ([], logging.NOTSET, True, before)
    assert Path.cwd() == workplace
    assert resumed == survlstm.load_run(str(run.folder))
    assert len(resumed.history) == epochs


def test_the_generators_are_restored_after_an_error():
    states = torch.get_rng_state()

    @generators_left_alone()
    def fail():
        torch.rand(3)
        torch.use_deterministic_algorithms(True)
        raise ValueError("a reason")

    with pytest.raises(ValueError, match="a reason"):
        fail()
    assert torch.equal(states, torch.get_rng_state())
    assert not torch.are_deterministic_algorithms_enabled()


def test_groups_of_ones_own_are_found(workplace):
    (workplace / "mine" / "model").mkdir(parents=True)
    (workplace / "mine" / "model" / "narrow.yaml").write_text("defaults: [lstm_small]\nhidden_dim: 7\n")
    prepared = survlstm.prepare(["experiment=smoke", "model=narrow", "model.hidden_dim=7"], config_dir="mine")
    assert isinstance(prepared.config, RunConfig)
    assert prepared.build_model().head[0].out_features == 7
