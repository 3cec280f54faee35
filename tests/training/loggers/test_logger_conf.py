"""conf/logger: every file holds exactly what its logger is made with."""

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from survlstm.config.conf_dir import conf_dir
from survlstm.training.loggers.background import BackgroundLogger
from tests.training.loggers.mlflow_life import needs_mlflow

needs_mlflow()


def settings(choice):
    return OmegaConf.to_container(OmegaConf.load(conf_dir() / "logger" / f"{choice}.yaml"), resolve=True)


def test_the_choices_are_the_ones_promised():
    assert {path.stem for path in (conf_dir() / "logger").iterdir()} == {"none", "tensorboard", "mlflow"}


@pytest.mark.parametrize("choice", ["tensorboard", "mlflow"])
def test_a_choice_makes_the_tracker_of_its_name(choice):
    logger = BackgroundLogger(instantiate(settings(choice)))
    assert logger.name == choice
    assert logger.patience_seconds == 30


def test_none_makes_nothing():
    assert settings("none") == {"_target_": None}


def test_a_tracking_address_of_the_environment_is_taken(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert settings("mlflow")["store"] is None
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert settings("mlflow")["store"] == "http://127.0.0.1:5000"
