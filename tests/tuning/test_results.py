"""What a search leaves: an experiment that composes to the best trial, pictures, a page; whole after every trial."""

import json
import os

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from survlstm.config.compose import check_overrides
from survlstm.config.conf_dir import conf_dir
from survlstm.config.schema.run import RunConfig
from survlstm.tuning import tune
from survlstm.tuning.experiment import experiment_yaml
from survlstm.tuning.importance import why_no_importances
from tests.tuning.bowl import Bowl, config_of

PNG = b"\x89PNG"


def composed(*words):
    (config,) = check_overrides("train", list(words), RunConfig)
    return config.model_copy(update={"output_dir": "."})


EXPERIMENTS = [
    ["model.dropout=0.123456789012345", "optimizer.weight_decay=1.25e-05"],
    ["data=tiny", "model=lstm_medium", "scheduler=cosine", "trainer.epochs=7", "seed=3"],
    ["experiment=smoke", "data=cohort_106", "outcome=death", "clock=landmark", "clock.day=365", "clock.visit=null"],
    ["trainer.early_stopping.patience=null", "model.visit_features=[age]", "evaluation.baselines=[]"],
]


@pytest.mark.parametrize("words", EXPERIMENTS)
def test_an_experiment_file_composes_to_what_its_words_composed_to(tmp_path, words):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "found.yaml").write_text(experiment_yaml(words, about="Found."))
    asked = composed(*words)
    assert composed("experiment=found", "--config-dir", str(tmp_path)) == asked
    assert composed("experiment=found", f"hydra.searchpath=[file://{tmp_path}]") == asked


def test_what_follows_another_key_goes_on_following_it(tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "found.yaml").write_text(experiment_yaml(["scheduler=cosine", "seed=3"], about="Found."))
    config = composed("experiment=found", "trainer.epochs=9", "seed=5", "--config-dir", str(tmp_path))
    assert (config.scheduler.T_max, config.split.seed) == (9, 5)


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("searched") / "study"
    words = ["trials=16", "pruner.warmup_epochs=3", "name=night", 'base=["data=tiny"]', "startup_trials=6"]
    scheduler = "+space.scheduler={kind:choice,choices:[none,cosine]}"
    tune(config_of(folder, *words, scheduler), Bowl())
    return folder


def test_the_best_trial_is_an_experiment_that_train_accepts(searched):
    best = json.loads((searched / "study.json").read_text())["best"]
    config = composed("experiment=night", "--config-dir", str(searched))
    assert config == composed("data=tiny", *best["overrides"])
    assert best["experiment"] == str(searched / "experiment" / "night.yaml")


def test_pictures_and_page_are_there(searched):
    slices = ["slice_model_dropout", "slice_optimizer_weight_decay", "slice_scheduler"]
    names = sorted(f"{name}.{kind}" for name in ["trials", "importances", *slices] for kind in ("png", "svg"))
    assert sorted(os.listdir(searched / "figures")) == names
    assert all((searched / "figures" / name).read_bytes()[:4] == PNG for name in names if name.endswith("png"))
    page = (searched / "tune.html").read_text()
    assert page.count("<svg") == 5
    assert "16 of 16" in page
    assert "survlstm train experiment=night --config-dir" in page
    assert not [name for name in os.listdir(searched) if name.startswith((".figures", ".tune", ".trials", ".study"))]


def test_few_trials_have_no_importances_and_a_sentence(tmp_path):
    folder = tmp_path / "study"
    tune(config_of(folder, "trials=2"), Bowl())
    page = (folder / "tune.html").read_text()
    assert "Importances need 10 complete trials; there are 2." in page
    assert not (folder / "figures" / "importances.png").exists()
    assert why_no_importances([]) == "Importances need 10 complete trials; there are 0."


class Looking:
    """A bowl that reads the table before every trial but the first, as somebody would after a killed night."""

    def __init__(self, folder):
        self.folder, self.bowl, self.seen = folder, Bowl(epochs=2), []

    def __call__(self, overrides, folder, callback):
        if self.bowl.asked:
            table = (self.folder / "trials.csv").read_text().splitlines()
            best = json.loads((self.folder / "study.json").read_text())["best"]
            experiment = (self.folder / "experiment" / "dropout_and_decay.yaml").read_text()
            self.seen.append((len(table) - 1, best is not None, best["overrides"][0].split("=")[1] in experiment))
        return self.bowl(overrides, folder, callback)


def test_everything_but_pictures_is_written_after_every_trial(tmp_path):
    looking = Looking(tmp_path / "study")
    tune(config_of(tmp_path / "study", "trials=4", "pruner=null"), looking)
    assert looking.seen == [(1, True, True), (2, True, True), (3, True, True)]


def test_a_search_runs_inside_a_job_of_hydra(tmp_path):
    config = config_of(tmp_path / "study", "trials=1")
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        job = GlobalHydra.instance().hydra
        tune(config, Bowl())
        assert GlobalHydra.instance().hydra is job


def test_results_that_can_not_be_written_do_not_end_the_search(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("survlstm.tuning.results.write_text", full)
    bowl, folder = Bowl(), tmp_path / "study"
    tune(config_of(folder, "trials=2"), bowl)
    assert len(bowl.asked) == 2
    assert "could not be written" in (folder / "tune.log").read_text()
