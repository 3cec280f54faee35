"""An evaluation as an object: its tables, its report and its figures."""

from __future__ import annotations

import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from survlstm.api.composition import PathLike
from survlstm.api.metrics_file import read_metrics
from survlstm.api.notebook import results_html, results_text
from survlstm.api.plots import EvaluationPlots
from survlstm.api.values_file import read_values
from survlstm.config.schema.commands import EvaluateConfig
from survlstm.config.schema.section import SectionT, as_yaml
from survlstm.config.validation import validate_stored
from survlstm.runs.predictions_table import read_predictions
from survlstm.utils.errors import CheckpointError, ConfigError
from survlstm.utils.stored_files import read_yaml


@dataclass(frozen=True, repr=False)
class Results:
    """What a run and an evaluation have in common: the files with the results in their folder.

    Every table is read when it is asked for, so that the object can be made before a run has ended. What is missing
    raises ``survlstm.SurvlstmError`` with a sentence that says how to get it.

    Attributes:
        folder: The folder, absolute.
    """

    folder: Path

    @property
    def metrics(self) -> pd.DataFrame:
        """Metrics at every step: one row per model and comparator, by ``name``.

        ``c_td`` is the C-index (higher is better) and ``nll`` the negative log-likelihood in nats per subject (lower is
        better); ``_low`` and ``_high`` are the ends of a 95 % interval, ``_difference`` is the model minus this row and
        ``_p`` its p-value. A value that could not be computed is NaN. ``docs/conventions.md`` defines every metric.
        """
        return read_metrics(self.folder).table()

    @property
    def landmarks(self) -> pd.DataFrame:
        """Metrics from each landmark: one row per landmark, horizon and model; empty if the run has no landmark.

        ``unit`` is the unit of ``horizon``; ``ibs`` and ``inbll`` are integrated up to the last horizon and repeated in
        the rows of a model. On the days clock the landmarks are sets of prediction times: all of them together, those
        at a visit number, and those of a rule of ``evaluation.times``. ``at_risk`` then counts prediction times, and
        ``subjects`` their subjects.
        """
        return read_metrics(self.folder).landmark_table()

    @property
    def groups(self) -> pd.DataFrame:
        """The model in groups of the evaluated subjects: one row per ``kind`` (sex, race, ethnicity, age) and ``name``.

        ``c_td`` is the C-index within the group. ``predicted`` and ``observed`` are the mean predicted and the
        Kaplan-Meier risk of the ``at_risk`` subjects by ``horizon``, counted from ``landmark`` in ``unit``. Groups of
        fewer than 10 subjects share a row that holds their number only. Empty with ``evaluation.groups=[]``.
        """
        return read_metrics(self.folder).group_table()

    @property
    def predictions(self) -> pd.DataFrame:
        """Hazard and survival of the evaluated subjects: one row per subject and step, with the subjects' ids.

        On the days clock there is one row per subject and prediction time; ``hazard`` and ``survival`` hold one value
        for each interval, whose ends ``attrs["edge_days"]`` lists after a 0.
        """
        return read_predictions(self.folder / "predictions.parquet")

    @property
    def exclusions(self) -> pd.DataFrame:
        """What the preparation left out: one row per reason, of subjects, of visits and of coded entries."""
        return read_metrics(self.folder).exclusions()

    @property
    def values(self) -> pd.DataFrame:
        """The counts of values and the fitted bins: one row per ``code`` and ``unit``, the most frequent one first.

        ``bins`` and ``training_values_per_bin`` are texts with parts separated by "; ", and ``note`` says why there
        are no bins. ``values`` counts the values, ``far_outside`` those far outside of the training's, and
        ``visits_with_several`` the visits with several of them. ``entries_of_code``, ``texts``, ``infinite``,
        ``without_value`` and ``subjects_with_several_units`` are those of the code, in any unit; a number of one to
        nine subjects is "fewer than 10". No row with ``data.values=none``.
        """
        return read_values(self.folder, is_used=read_metrics(self.folder).uses_values)

    @property
    def summary(self) -> tuple[str, ...]:
        """Sentences that summarise the evaluation, the most important one first."""
        return tuple(read_metrics(self.folder).lines)

    @property
    def plot(self) -> EvaluationPlots:
        """Figures, as ``plot.survival()`` and ``plot.calibration()``."""
        return EvaluationPlots(lambda: read_metrics(self.folder))

    def report(self, *, open_browser: bool = False) -> Path:
        """Return the path of the report, a single HTML file.

        Args:
            open_browser: Open it in the default browser.

        Returns:
            The path of ``report.html``.

        Raises:
            CheckpointError: There is no report, because the run has not been evaluated.
        """
        path = self.folder / "report.html"
        if not path.is_file():
            raise CheckpointError(
                f"a finished run must hold report.html; found none in {self.folder}. {self._how_to_end}"
            )
        if open_browser:
            webbrowser.open(path.as_uri())
        return path

    @property
    def _how_to_end(self) -> str:
        return "Evaluate the run again"

    def __repr__(self) -> str:
        return results_text(type(self).__name__, self.folder)

    def _repr_html_(self) -> str:
        return results_html(type(self).__name__, self.folder, history=None)


@dataclass(frozen=True, repr=False)
class Evaluation(Results):
    """An evaluation of a run, on one of its splits or on another cohort; ``survlstm.evaluate`` makes it.

    Attributes:
        folder: The folder of the evaluation, absolute.

    Example:
        >>> evaluation = survlstm.evaluate("outputs/model", ["split=val"])
        >>> evaluation.metrics.loc["model", "c_td"]
    """

    @property
    def config(self) -> EvaluateConfig:
        """The validated config of the evaluation."""
        return read_config(self.folder, EvaluateConfig)

    @property
    def config_yaml(self) -> str:
        """The config as YAML."""
        return as_yaml(self.config)


def load_evaluation(path: PathLike) -> Evaluation:
    """Load an evaluation from its folder. No code in the folder is run.

    Args:
        path: The folder that ``survlstm evaluate`` or ``survlstm.evaluate`` made; ``~`` is expanded.

    Returns:
        The evaluation. Its files are read when they are asked for.

    Raises:
        ConfigError: The folder does not exist or is not that of an evaluation.
    """
    folder = existing_folder(path, made_by="survlstm evaluate")
    if not is_evaluation(folder):
        raise ConfigError(
            f"an evaluation must be the folder that survlstm evaluate made; {folder} is not. Use survlstm.load_run "
            "for a run"
        )
    return Evaluation(folder)


def folder_of(run: Results | PathLike) -> Path:
    """Return the folder of a run or an evaluation that is given as an object or by its path.

    Args:
        run: The object or the path; ``~`` is expanded.

    Returns:
        The absolute path; it is not checked.
    """
    return run.folder if isinstance(run, Results) else Path(run).expanduser().absolute()


def existing_folder(path: PathLike, *, made_by: str) -> Path:
    """Return the folder of a run, an evaluation or a sweep.

    Args:
        path: The folder; ``~`` is expanded.
        made_by: The command that makes such folders, for the message.

    Returns:
        The absolute path.

    Raises:
        ConfigError: There is no such folder, or it holds none of these.
    """
    folder = folder_of(path)
    if not folder.is_dir():
        raise ConfigError(f"a run must be the folder that {made_by} made; found no folder {folder}")
    if not (folder / "config.yaml").is_file() and not (folder / "sweep.json").is_file():
        raise ConfigError(f"a run must hold config.yaml; found none in {folder}: it is not the folder of a run")
    return folder


def is_evaluation(folder: Path) -> bool:
    """Return whether a folder is that of ``survlstm evaluate``, by its log."""
    return (folder / "evaluation.log").is_file() and not (folder / "training.log").is_file()


def read_config(folder: Path, schema: type[SectionT], *, allow: Sequence[str] = ()) -> SectionT:
    """Read config.yaml as data: nothing in it is looked up or imported before it is checked.

    Args:
        folder: The folder of a run or an evaluation.
        schema: The schema of the config.
        allow: Dotted names of classes outside survlstm that the config may name.

    Returns:
        The validated config.

    Raises:
        ConfigError: The file can't be read or is not valid.
    """
    try:
        return validate_stored(read_yaml(folder / "config.yaml"), schema, finished=True, allow=allow)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{folder / 'config.yaml'} must be a config that survlstm wrote; it can't be read: {error}"
        ) from error
