"""Evaluate a run again, and compare runs."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path

import pandas as pd

from survlstm.api.composition import Overrides, PathLike, compose_one, generators_left_alone, override_words
from survlstm.api.notebook import metrics_html
from survlstm.api.results import Evaluation, Results, folder_of
from survlstm.api.run import Run
from survlstm.config.overrides import format_override, name_data_group
from survlstm.config.schema.commands import CompareConfig, EvaluateConfig
from survlstm.evaluation.comparison import Comparison
from survlstm.evaluation.results import Difference, Estimate
from survlstm.runs import evaluate as evaluation_command
from survlstm.runs.compare import compare_runs
from survlstm.runs.folder import refuse_unusable
from survlstm.utils.logs import logging_to

log = logging.getLogger(__name__)


def evaluate(
    run: Run | PathLike,
    overrides: Overrides = (),
    *,
    output_dir: PathLike | None = None,
    config_dir: PathLike | None = None,
) -> Evaluation:
    """Evaluate the best model of a run again, on one of its splits or on another cohort, as ``survlstm evaluate`` does.

    Args:
        run: The run, or its folder.
        overrides: Overrides as on the command line, such as ``["split=val"]`` or ``["data.path=other_cohort"]``, or
            Python values by key.
        output_dir: The folder of the evaluation; None for ``outputs/DATE/TIME-evaluate`` or what the overrides say.
        config_dir: A folder with config groups of your own; None for none.

    Returns:
        The evaluation.

    Raises:
        ConfigError: The overrides are not valid, or a folder can't be used.
        SurvlstmError: The run or the data can't be read, or the evaluation failed.

    Example:
        >>> survlstm.evaluate(run, ["split=val"]).metrics
    """
    words = override_words(overrides, function="evaluate", paths={"run": folder_of(run), "output_dir": output_dir})
    words = name_data_group(words)
    if isinstance(run, Run) and not any(word.startswith("allow=") for word in words):
        words.append(format_override("allow", list(run.allow)))
    if config_dir is not None:
        words = override_words(words, function="evaluate", config_dir=config_dir)
    config = compose_one("evaluate", words, EvaluateConfig)
    folder = Path(config.output_dir).expanduser().absolute()
    refuse_unusable(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = config.model_copy(update={"output_dir": str(folder)})
    with generators_left_alone(), logging_to(folder / "evaluation.log"):
        evaluation_command.evaluate(config, folder)
    return Evaluation(folder)


@dataclass(frozen=True, repr=False)
class RunComparison:
    """Runs compared on the subjects that all of them have evaluated; ``survlstm.compare`` makes it.

    Attributes:
        table: One row per run, by its name, the highest C-index first: ``c_td`` and ``nll`` with the ends of their
            intervals; ``_difference`` is the best run minus this run, with its interval and p-value; ``subjects`` is
            the number of subjects that the run has evaluated.
        details: The comparison: the split, the number of shared subjects and of their events, and notes.
    """

    table: pd.DataFrame
    details: Comparison

    def __repr__(self) -> str:
        figures = self.table[["c_td", "nll"]].round(4).to_string()
        return f"<RunComparison of {len(self.table)} runs on {self._shared}>\n{figures}"

    @property
    def _shared(self) -> str:
        details = self.details
        return f"{details.subjects:,} shared {details.split} subjects with {details.events:,} events"

    def _repr_html_(self) -> str:
        notes = "".join(f"<li>{escape(note)}</li>" for note in self.details.notes)
        return f"<div><p>{escape(self._shared)}</p>{metrics_html(self.table)}<ul>{notes}</ul></div>"


def compare(
    runs: Iterable[Results | PathLike], overrides: Overrides = (), *, config_dir: PathLike | None = None
) -> RunComparison:
    """Compare runs on the subjects that all of them have evaluated, as ``survlstm compare`` does.

    Args:
        runs: At least two runs or evaluations, or their folders.
        overrides: Overrides as on the command line, such as ``["evaluation.resamples=200"]``, or Python values by key.
        config_dir: A folder with config groups of your own; None for none.

    Returns:
        The table and the details.

    Raises:
        ConfigError: Fewer than two runs are named, one is missing or named twice, or the overrides are not valid.
        CheckpointError: A run has no predictions that can be read.
        OutcomeError: The runs differ in clock, split or labels.
        CohortError: The runs share no subject.

    Example:
        >>> survlstm.compare([run, "outputs/seed_2"]).table
    """
    words = override_words(overrides, function="compare", config_dir=config_dir)
    config = compose_one("compare", words, CompareConfig)
    with logging_to(None):
        comparison = compare_runs([folder_of(run) for run in runs], config)
    rows = [
        {"run": row.name}
        | _columns("c_td", row.c_td, row.c_td_difference)
        | _columns("nll", row.nll, row.nll_difference)
        | {"subjects": comparison.subjects_of[row.name]}
        for row in comparison.rows
    ]
    return RunComparison(pd.DataFrame(rows).set_index("run"), comparison)


def _columns(name: str, estimate: Estimate, difference: Difference | None) -> dict[str, str | float]:
    missing = float("nan")
    low, high = estimate.interval or (missing, missing)
    value, (least, most), p = difference or (missing, (missing, missing), missing)
    return {
        name: estimate.value,
        f"{name}_low": low,
        f"{name}_high": high,
        f"{name}_difference": value,
        f"{name}_difference_low": least,
        f"{name}_difference_high": most,
        f"{name}_difference_p": p,
    }
