"""The classes of examples/own_classes, from another folder: every command works with them, none imports them unasked.

The classes lie beside the config files. The command that names them in its own config runs them; a run folder or a
bundle that names them does not make any command import them.
"""

import csv
import json
import re
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest

import survlstm as package
from survlstm.config import class_loader
from survlstm.data.sources.simulated import simulated_cohort
from survlstm.utils.errors import ClosedClassError
from tests.examples.conftest import COHORT, run_all

ROOT = Path(__file__).parents[2]
MODULES = ("own_gru", "prefix_outcome", "event_csv", "age_baseline", "csv_logger")
ALLOW = (
    "allow=[own_gru.OwnGRU,prefix_outcome.FirstCodeWithPrefix,event_csv.EventCsvSource,age_baseline.LifeTableByAge,"
    "csv_logger.CsvLogger]"
)
RUN = [
    "model=own_gru",
    "model.hidden_dim=8",
    "outcome=prefix",
    "outcome.prefixes=[SNOMED/444814009]",
    "data=event_csv",
    "data.path=../events",
    "logger=csv",
    "trainer=smoke",
    "evaluation.resamples=100",
    "evaluation.landmarks.visits=[2]",
    "evaluation.baselines=[record_length,{_target_: age_baseline.LifeTableByAge, groups: 2}]",
]
TABLES = {"encounters": "START", "conditions": "START", "medications": "START", "observations": "DATE"}


def write_events(export, folder):
    """Write the two files that EventCsvSource reads, from a Synthea export."""
    tables = [
        pd.read_csv(export / f"{name}.csv", dtype=str, usecols=["PATIENT", time, "CODE"]).set_axis(
            ["time", "subject_id", "code"], axis=1
        )
        for name, time in TABLES.items()
    ]
    events = pd.concat(tables)
    events["code"] = "SNOMED/" + events["code"]
    events["time"] = events["time"].str.slice(0, 19)
    folder.mkdir()
    events.to_csv(folder / "events.csv", index=False)
    patients = pd.read_csv(export / "patients.csv", dtype=str)[["Id", "BIRTHDATE", "DEATHDATE"]]
    patients.set_axis(["subject_id", "birth", "death"], axis=1).to_csv(folder / "subjects.csv", index=False)


class Imports:
    """What the process has imported, and where from."""

    def __init__(self):
        self.path, self.folders = list(sys.path), list(class_loader._config_folders)

    def restore(self):
        sys.path[:], class_loader._config_folders[:] = self.path, self.folders
        for name in MODULES:
            sys.modules.pop(name, None)


@pytest.fixture(autouse=True)
def imports():
    """Each test begins without the example's modules."""
    before = Imports()
    yield
    before.restore()


@pytest.fixture(scope="module")
def place(tmp_path_factory, shared_cache):
    """A folder with the example's configs, its data, a run (``run``) and its bundle (``bundle``); only read."""
    top = tmp_path_factory.mktemp("own")
    folder = top / "elsewhere"
    folder.mkdir()
    shutil.copytree(ROOT / "examples" / "own_classes", top / "configs")
    write_events(simulated_cohort(shared_cache, **(COHORT | {"patients": 120})), top / "events")
    before = Imports()
    configs = ["--config-dir", str(top / "configs")]
    run_all(
        folder,
        shared_cache,
        ["train", *configs, *RUN, "output_dir=run"],
        ["export", *configs, "run=run", "output=bundle", "format=onnx", ALLOW],
    )
    before.restore()
    return folder


@pytest.fixture
def here(place, tmp_path):
    """A copy of ``place``, in which a test may write."""
    shutil.copytree(place.parent, tmp_path / "copy")
    return tmp_path / "copy" / "elsewhere"


@pytest.fixture
def run(survlstm, here, monkeypatch):
    """Run the command in the copy; --config-dir is added where the words hold CONFIGS."""

    def call(*words):
        monkeypatch.chdir(here)
        configs = ["--config-dir", str(here.parent / "configs")]
        return survlstm(*(part for word in words for part in (configs if word == "CONFIGS" else [word])))

    return call


COMMANDS = {
    "evaluate": ["evaluate", "run=run", "output_dir=new"],
    "export": ["export", "run=run", "output=new"],
    "explain": ["explain", "run=run", "output=new", "subjects_at_most=3", "resamples=100", "shuffles=1"],
    "resume": ["train", "resume=run", "trainer.epochs=4"],
    "rerun": ["rerun", "run", "output_dir=new"],
    "predict": ["predict", "bundle=bundle", "data.path=../events", "output=new.csv"],
    "plot": ["plot", "survival", "bundle=bundle", "data.path=../events", "output=new"],
}


def test_a_run_uses_all_of_them(place):
    metrics = json.loads((place / "run" / "metrics.json").read_text())
    assert [row["name"] for row in metrics["test"]["rows"]] == [
        "model",
        "covariate-free hazard",
        "record length",
        "life table by age",
    ]
    assert metrics["task"]["outcome"] == "FirstCodeWithPrefix"
    with (place / "run" / "losses.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2", "3"]
    said = (place / "run" / "training.log").read_text()
    assert "Checked: no hazard of own_gru.OwnGRU depends on later visits or on other subjects" in said
    assert (place / "bundle" / "model.onnx").is_file()
    assert "OwnGRU, whole_record False, hidden_dim 8" in (place / "bundle" / "MODEL_CARD.md").read_text()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_stored_file_alone_makes_no_command_import_them(run, here, capsys, name):
    # They could be imported: their folder is named, and on the path.
    sys.path.append(str(here.parent / "configs"))
    assert run(*COMMANDS[name], "CONFIGS") == 2
    assert "ClosedClassError: " in (said := "".join(capsys.readouterr()))
    assert "is named by a stored file alone" in said
    assert "add allow=[" in said
    assert not sys.modules.keys() & set(MODULES)


@pytest.mark.parametrize("name", COMMANDS)
def test_with_allow_every_command_works_with_them(run, here, name):
    assert run(*COMMANDS[name], "CONFIGS", ALLOW) == 0
    assert name == "resume" or list(here.glob("new*"))
    if name == "resume":
        assert len(json.loads((here / "run" / "history.json").read_text())["epochs"]) == 4


def test_allow_names_each_class_by_itself(run, capsys):
    assert run(*COMMANDS["predict"], "CONFIGS", "allow=[own_gru.OwnGRU]") == 2
    assert "outcome._target_ is prefix_outcome.FirstCodeWithPrefix" in "".join(capsys.readouterr())
    assert "prefix_outcome" not in sys.modules


def test_what_the_resuming_command_names_itself_need_not_be_allowed(run, here, place):
    own = [word for word in RUN if not word.startswith("data.path")]
    data = f"data.path={place}/../events"
    assert run("train", "resume=run", "trainer.epochs=4", "CONFIGS", *own, data) == 0
    assert len(json.loads((here / "run" / "history.json").read_text())["epochs"]) == 4


def test_a_class_that_cannot_be_found_is_a_sentence(run, capsys):
    assert run(*COMMANDS["evaluate"], ALLOW) == 2
    said = "".join(capsys.readouterr())
    assert "model._target_ must name a class that can be imported; own_gru.OwnGRU can't: ModuleNotFoundError" in said
    assert "set PYTHONPATH, or put the module beside the config file in the folder of --config-dir" in said


def test_the_search_path_finds_them_too(run, here, capsys):
    folder = here.parent / "configs"
    assert run("train", f"hydra.searchpath=[file://{folder}]", *RUN, "trainer.dry_run=true", "output_dir=new") == 0
    assert "Dry run: nothing is trained" in capsys.readouterr().out
    assert not (here / "new").exists()


def test_a_sweep_over_them_is_completed(run, here, capsys):
    assert run("train", "-m", "CONFIGS", *RUN[:1], *RUN[2:], "model.hidden_dim=4,8", "output_dir=sweep") == 0
    shutil.rmtree(here / "sweep" / "model.hidden_dim=8")
    allow = "allow=[age_baseline.LifeTableByAge]"
    for words, said in (
        (["CONFIGS"], "found evaluation.baselines, which names a class; add allow=[CLASS] if you trust it"),
        ([allow], "Configs can run code, so the folder must be named again"),
    ):
        assert run("train", "sweep.resume=sweep", *words) == 2
        assert said in capsys.readouterr().err
    assert run("train", "sweep.resume=sweep", "CONFIGS", allow) == 0
    assert (here / "sweep" / "model.hidden_dim=8" / "report.html").is_file()


def test_a_sweeps_record_that_names_a_class_needs_allow(run, here, capsys):
    (here / "sweep").mkdir()
    record = [
        word.replace("'", "") for word in RUN if not word.startswith(("model", "outcome", "logger", "evaluation"))
    ]
    words = ["model._target_=own_gru.OwnGRU", "trainer.epochs=1,2", *record]
    (here / "sweep" / "sweep.json").write_text(json.dumps({"words": words}))
    sys.path.append(str(here.parent / "configs"))
    for allow in ([], ["allow=[own_gru.Other]"]):
        assert run("train", "sweep.resume=sweep", *allow) == 2
        said = capsys.readouterr().err
        assert "found model._target_, which names a class; add allow=[CLASS] if you trust it" in said
    assert not sys.modules.keys() & set(MODULES)


def test_python_needs_allow_too(here, monkeypatch, shared_cache):
    monkeypatch.chdir(here)
    monkeypatch.setenv("SURVLSTM_CACHE_DIR", str(shared_cache))
    for load in (lambda: package.load_bundle("bundle"), lambda: package.load_run("run").model):
        with pytest.raises(ClosedClassError, match=r"add allow=\[own_gru.OwnGRU\]"):
            load()
    assert not sys.modules.keys() & set(MODULES)
    sys.path.append(str(here.parent / "configs"))
    allowed = ALLOW.removeprefix("allow=[").removesuffix("]").split(",")
    assert type(package.load_bundle("bundle", allow=allowed).bundle.model).__name__ == "OwnGRU"
    run = package.load_run("run", allow=allowed)
    assert type(run.model).__name__ == "OwnGRU"
    assert package.evaluate(run, ["split=val"]).metrics.index[0] == "model"


def test_python_trains_and_prepares_with_them(here, monkeypatch, shared_cache):
    monkeypatch.chdir(here)
    monkeypatch.setenv("SURVLSTM_CACHE_DIR", str(shared_cache))
    configs = here.parent / "configs"
    run = package.train(RUN, output_dir="from_python", config_dir=configs)
    # Whoever has named the classes may use the run at once.
    assert type(run.model).__name__ == "OwnGRU"
    assert "life table by age" in run.metrics.index
    assert type(package.prepare(RUN, config_dir=configs).build_model()).__name__ == "OwnGRU"


def test_a_changed_outcome_makes_other_data(run, here, capsys):
    dry = ["train", "CONFIGS", *RUN, "trainer.dry_run=true"]
    assert run(*dry) == 0
    assert "taken from the cache" in capsys.readouterr().out
    module = here.parent / "configs" / "prefix_outcome.py"
    module.write_text(module.read_text() + "\n# Changed.\n")
    for name in MODULES:
        sys.modules.pop(name, None)
    sys.path[:] = [folder for folder in sys.path if not folder.endswith("configs")]
    class_loader._config_folders.clear()
    assert run(*dry) == 0
    assert "computed and stored in the cache" in capsys.readouterr().out


def test_a_run_is_not_resumed_with_another_model(run, here, capsys):
    module = here.parent / "configs" / "own_gru.py"
    module.write_text(module.read_text() + "\n# Changed.\n")
    assert run("train", "resume=run", "trainer.epochs=4", "CONFIGS", ALLOW) == 2
    assert "with the code it was started with; that of own_gru.OwnGRU has changed" in "".join(capsys.readouterr())


def test_the_model_of_the_documentation_is_trained_as_it_stands_there(survlstm, tmp_path, capsys):
    text = (ROOT / "docs" / "own_classes.md").read_text()
    blocks = {kind: re.search(rf"```{kind}\n(.*?)```", text, re.DOTALL)[1] for kind in ("python", "yaml")}
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "own_gru.py").write_text(blocks["python"])
    (tmp_path / "conf" / "model" / "own_gru.yaml").write_text(blocks["yaml"])
    assert survlstm("train", "--config-dir", "conf", "model=own_gru", "data=tiny", "trainer.dry_run=true") == 0
    assert "Model parameters: " in capsys.readouterr().out


def test_whole_records_need_the_landmark_clock(run, capsys):
    assert run("train", "CONFIGS", *RUN, "+model.whole_record=true", "output_dir=new") == 2
    assert "model.whole_record=true needs clock=landmark" in capsys.readouterr().err
