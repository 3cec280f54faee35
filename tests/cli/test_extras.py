"""Every extra: without its package the message names the line that installs it."""

import logging
import sys
import threading
import tomllib
from pathlib import Path

import pytest
import torch
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins

from survlstm.config.compose import check_overrides
from survlstm.config.schema.commands import ServeConfig
from survlstm.config.schema.run import RunConfig
from survlstm.data.sources.omop.source import OmopSource
from survlstm.explanation.gradients import refuse_missing_captum
from survlstm.inference.bundle.onnx_export import write_onnx
from survlstm.serving import serve
from survlstm.training import telemetry
from survlstm.training.loggers.mlflow_logger import MLflowLogger
from survlstm.training.loggers.tensorboard_logger import TensorBoardLogger
from survlstm.tuning import TuneConfig, tune
from survlstm.utils.errors import ConfigError


def do_tune():
    (config,) = check_overrides("tune", [], TuneConfig)
    tune(config)


def do_serve():
    (config,) = check_overrides("serve", ["bundle=BUNDLE"], ServeConfig)
    serve(config)


def make_mlflow_logger():
    MLflowLogger(store=None, folder="outputs", experiment="e", log_checkpoint=False, patience_seconds=30.0)


def make_tensorboard_logger():
    TensorBoardLogger(patience_seconds=30.0)


def write_onnx_model():
    write_onnx(torch.nn.Linear(1, 1), Path("model.onnx"), visit_features=5)


def read_omop(path):
    OmopSource(path, ("condition_occurrence",), 0.01).read()


def sweep_with(launcher):
    return lambda: check_overrides("train", ["-m", "seed=1,2", f"hydra/launcher={launcher}"], RunConfig)


USES = [
    ("tune", "optuna", do_tune),
    ("joblib", "hydra_plugins.hydra_joblib_launcher", sweep_with("two_at_once")),
    ("submitit", "hydra_plugins.hydra_submitit_launcher", sweep_with("slurm")),
    ("tensorboard", "tensorboard", make_tensorboard_logger),
    ("mlflow", "mlflow", make_mlflow_logger),
    ("onnx", "onnx", write_onnx_model),
    ("onnx", "onnxscript", write_onnx_model),
    ("onnx", "onnxruntime", write_onnx_model),
    ("explain", "captum.attr", refuse_missing_captum),
    ("omop", "duckdb", lambda: read_omop(".")),
    ("omop", "adbc_driver_postgresql.dbapi", lambda: read_omop("postgresql://me@host/cdm")),
    ("serve", "fastapi", do_serve),
    ("serve", "uvicorn", do_serve),
]


@pytest.mark.parametrize(("extra", "package", "use"), USES, ids=[package for _, package, _ in USES])
def test_without_its_package_an_extra_names_the_pip_line(monkeypatch, extra, package, use):
    monkeypatch.setitem(sys.modules, package, None)
    for name in [name for name in sys.modules if name.startswith("torch.utils.tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    # A launcher is registered when Hydra looks for plugins, once; here it is as if none had been found.
    Plugins.instance()
    launchers = ConfigStore.instance().repo["hydra"]["launcher"]
    for name in ("joblib", "submitit_slurm", "submitit_local"):
        monkeypatch.delitem(launchers, f"{name}.yaml")
    with pytest.raises(ConfigError, match=rf"pip install 'survlstm\[{extra}\]'"):
        use()


def test_without_nvidia_ml_py_a_line_of_the_log_names_it(monkeypatch, caplog):
    def utilization(device):
        raise ModuleNotFoundError("nvidia-ml-py does not seem to be installed")

    monkeypatch.setattr(torch.cuda, "utilization", utilization)
    monkeypatch.setattr(telemetry, "SECONDS_BETWEEN_SAMPLES", 0.0)
    caplog.set_level(logging.INFO, logger="survlstm")
    telemetry.Telemetry(torch.device("cuda"))._sample(threading.Event())
    assert caplog.messages == [
        "The utilisation of the GPU is not recorded: ModuleNotFoundError: nvidia-ml-py does not seem to be installed. "
        "It needs the extra gpu: pip install 'survlstm[gpu]'"
    ]


def test_every_extra_is_tested():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {extra for extra, *_ in USES} | {"gpu", "dev"} == set(project["optional-dependencies"])
