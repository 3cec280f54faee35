"""A run as an object: its tables, its model, its report and its figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import pandas as pd
from torch import nn

from survlstm.api.composition import Overrides, PathLike, compose_one, generators_left_alone, override_words
from survlstm.api.metrics_file import read_metrics
from survlstm.api.notebook import results_html
from survlstm.api.plots import RunPlots
from survlstm.api.results import Evaluation, Results, existing_folder, is_evaluation, read_config
from survlstm.config.schema.commands import ExportConfig
from survlstm.config.schema.run import RunConfig
from survlstm.config.schema.section import as_yaml
from survlstm.runs.finished import FinishedRun, open_run
from survlstm.runs.folder import read_run_record
from survlstm.training.history import History, read_history
from survlstm.utils.errors import CheckpointError, ConfigError
from survlstm.utils.logs import logging_to


@dataclass(frozen=True, repr=False)
class Run(Results):
    """A run of ``survlstm train``, finished or not; ``survlstm.train`` and ``survlstm.load_run`` make it.

    Attributes:
        folder: The run folder, absolute.
        allow: Dotted names of classes outside survlstm that may be imported although only the run names them.

    Example:
        >>> run = survlstm.load_run("outputs/model")
        >>> run.metrics.loc["model", ["c_td", "c_td_low", "c_td_high"]]
        >>> run.plot.calibration()
    """

    allow: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """finished, running, failed, stopped (it can be resumed), killed or unknown."""
        return read_run_record(self.folder).state

    @property
    def config(self) -> RunConfig:
        """The validated config: the one in the checkpoint of the best epoch, or config.yaml before there is one."""
        if (self.folder / "checkpoints" / "best.pt").is_file():
            return self._finished.config
        return read_config(self.folder, RunConfig, allow=self.allow)

    @property
    def config_yaml(self) -> str:
        """The config as YAML."""
        return as_yaml(self.config)

    @property
    def history(self) -> pd.DataFrame:
        """One row per epoch: losses, validation C-index, learning rate, times, and whether it is the best epoch.

        Epoch 0 is a model with a linear part before its training.
        """
        history = self._epochs()
        table = pd.DataFrame([vars(epoch) for epoch in history.candidates]).set_index("epoch")
        return table.assign(is_best=table.index == history.best_epoch)

    @property
    def model(self) -> nn.Module:
        """The model with the weights of the best epoch, on the CPU and in evaluation mode."""
        return self._model

    @property
    def plot(self) -> RunPlots:
        """Figures, as ``plot.survival()``, ``plot.calibration()`` and ``plot.history()``."""
        return RunPlots(lambda: read_metrics(self.folder), self._epochs)

    def evaluate(
        self, overrides: Overrides = (), *, output_dir: PathLike | None = None, config_dir: PathLike | None = None
    ) -> Evaluation:
        """Evaluate the run again, as ``survlstm.evaluate``.

        Args:
            overrides: See ``survlstm.evaluate``.
            output_dir: See ``survlstm.evaluate``.
            config_dir: See ``survlstm.evaluate``.

        Returns:
            The evaluation.

        Raises:
            SurvlstmError: See ``survlstm.evaluate``.
        """
        from survlstm.api.evaluation import evaluate

        return evaluate(self, overrides, output_dir=output_dir, config_dir=config_dir)

    def export(self, path: PathLike, *, format: Literal["native", "onnx"] = "native") -> Path:
        """Write the best model as a bundle, which ``survlstm.load_bundle`` reads.

        Args:
            path: A new folder, or a new file that ends in .zip.
            format: ``onnx`` writes an ONNX model beside the native one.

        Returns:
            The path of the bundle.

        Raises:
            BundleError: The path exists or can't be written, or the run has no evaluation.
            SurvlstmError: The run or its data can't be read.
        """
        from survlstm.runs.export import export

        settings = {"format": format, "allow": list(self.allow)}
        words = override_words(settings, function="export", paths={"run": self.folder, "output": path})
        config = compose_one("export", words, ExportConfig)
        with generators_left_alone(), logging_to(None):
            export(config)
        return Path(config.output).expanduser().absolute()

    @cached_property
    def _finished(self) -> FinishedRun:
        return open_run(self.folder, allow=self.allow)

    @cached_property
    def _model(self) -> nn.Module:
        return self._finished.model()

    def _epochs(self) -> History:
        history = read_history(self.folder)
        if not history.epochs:
            raise CheckpointError(f"a history needs a finished epoch; {self.folder} has none. {self._how_to_end}")
        return history

    @property
    def _how_to_end(self) -> str:
        return "Let the run end: survlstm.train('resume=RUN')"

    def _repr_html_(self) -> str:
        return results_html(type(self).__name__, self.folder, history=self._epochs)


def load_run(path: PathLike, *, allow: Sequence[str] = ()) -> Run:
    """Load a run from its folder, finished or not. No code in the folder is run.

    Args:
        path: The folder that ``survlstm train`` or ``survlstm.train`` made; ``~`` is expanded.
        allow: Dotted names of classes outside survlstm that may be imported although only the run names them, such as
            ``["mypackage.MyGRU"]``.

    Returns:
        The run. Its files are read when they are asked for.

    Raises:
        ConfigError: The folder does not exist or is not that of one run.

    Example:
        >>> run = survlstm.load_run("outputs/model")
        >>> run.history["val_loss"].min()
    """
    folder = existing_folder(path, made_by="survlstm train")
    if (folder / "sweep.json").is_file():
        raise ConfigError(
            f"a run must be the folder of one run; {folder} holds a sweep. Name the folder of one job in it"
        )
    if is_evaluation(folder):
        raise ConfigError(
            f"a run must be the folder that survlstm train made; {folder} is that of an evaluation. Use "
            "survlstm.load_evaluation"
        )
    return Run(folder, tuple(allow))
