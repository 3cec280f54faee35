"""The report of an evaluated run: report.html, a single self-contained file, and its figures."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from survlstm.data.prepared_data import CohortFlow
from survlstm.evaluation.evaluated_run import EvaluatedRun
from survlstm.evaluation.results import Calibration, EvaluationSummary, Finding, LandmarkResult, best_by_c_index
from survlstm.report import formatting
from survlstm.report.days_task import describe_days_task
from survlstm.report.figures.calibration import draw_calibration
from survlstm.report.figures.canvas import DrawnFigure, SavedFigure, house_style, save
from survlstm.report.figures.cohort import draw_flow
from survlstm.report.figures.curves import draw_examples, draw_groups
from survlstm.report.figures.learning import draw_learning
from survlstm.report.figures.ranking import draw_forest, draw_heat_map
from survlstm.report.task import RunDescription
from survlstm.report.templates import template_environment
from survlstm.report.value_table import MeasureRow, why_unfitted
from survlstm.training.history import History
from survlstm.utils.files import write_text

log = logging.getLogger(__name__)

# The most severe level comes first on the page.
LEVELS = ("failure", "warning", "note", "ok")
# Measures on the page; values.csv holds all.
MOST_MEASURES = 40


@dataclass(frozen=True)
class CalibrationFigure:
    """Calibration of the model at one horizon.

    Attributes:
        horizon: The horizon with its unit.
        values: The calibration.
        figure: Its figure; None if no groups could be formed.
    """

    horizon: str
    values: Calibration
    figure: SavedFigure | None


@dataclass(frozen=True)
class ReportFigures:
    """Figures of the page; None or empty where their values are missing.

    Attributes:
        forest: C-index of all models.
        heat_map: Discrimination of the model by landmark and horizon.
        calibration: Name of each landmark with its calibration at each horizon.
        curves: Survival curves from each landmark.
        learning: Learning curves.
        cohort: Flow diagram of the cohort.
    """

    forest: SavedFigure | None
    heat_map: SavedFigure | None
    calibration: tuple[tuple[str, tuple[CalibrationFigure, ...]], ...]
    curves: tuple[SavedFigure, ...]
    learning: tuple[SavedFigure, ...]
    cohort: SavedFigure


def write_report(
    folder: Path,
    run: EvaluatedRun,
    findings: Sequence[Finding],
    *,
    description: RunDescription,
    manifest: dict[str, str],
    values: tuple[MeasureRow, ...],
) -> Path:
    """Write ``report.html`` and ``figures/*.svg`` and ``figures/*.png``.

    The page holds its style and its figures and requests nothing from elsewhere. Equal values give equal bytes.

    Args:
        folder: The folder that receives the files.
        run: The evaluated run.
        findings: Findings of the diagnostics and the sanity checks.
        description: Title, task and configuration.
        manifest: Versions, machine, data and times.
        values: The measures whose values are used, the most frequent one first; the page shows the first ones.

    Returns:
        The path of the page.
    """
    summary, history, flow = run.summary, run.history, run.prepared.flow
    figures = folder / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    with house_style():
        drawn = _draw(figures, summary, flow, history)
    page = template_environment(Path(__file__).parent).get_template("page.html.jinja")
    path = folder / "report.html"
    # The presence of this file marks the run as finished, so that it is written last.
    write_text(
        path,
        page.render(
            title=description.title,
            banner=description.task.banner,
            summary=summary,
            days_task=_days_task(run, description),
            findings=sorted(findings, key=lambda finding: LEVELS.index(finding.level)),
            flow=flow,
            measures=values,
            most_measures=MOST_MEASURES,
            why_unfitted=why_unfitted(flow.values) if flow.values else "",
            history=history,
            best=history.best if history and history.epochs else None,
            config_yaml=description.config_yaml,
            manifest=manifest,
            figures=drawn,
            best_baseline=best_by_c_index(summary.rows, "baseline"),
            oracle=best_by_c_index(summary.rows, "oracle"),
        ),
    )
    log.info("Report: %s", path)
    return path


def _days_task(run: EvaluatedRun, description: RunDescription) -> dict[str, str] | None:
    """Return the task in words on the days clock; None on the other clocks."""
    counts = run.prepared.flow.prediction_times
    if counts is None or description.times is None:
        return None
    edge_days = run.prepared.tensors.edge_days
    return describe_days_task(description.times, counts, edge_days, outcome=description.task.outcome)


def _draw(folder: Path, summary: EvaluationSummary, flow: CohortFlow, history: History | None) -> ReportFigures:
    def saved(drawing: DrawnFigure | None) -> SavedFigure | None:
        return save(drawing, folder) if drawing else None

    curves = [
        draw(landmark_curves, name=f"{name}_{number}")
        for number, landmark_curves in enumerate(summary.curves, start=1)
        for draw, name in ((draw_examples, "examples"), (draw_groups, "groups"))
    ]
    return ReportFigures(
        forest=saved(draw_forest(summary.rows)),
        heat_map=saved(draw_heat_map(summary.landmarks)),
        calibration=tuple(
            (landmark.name, tuple(_calibration_figures(folder, landmark, number)))
            for number, landmark in enumerate(summary.landmarks, start=1)
        ),
        curves=tuple(save(drawing, folder) for drawing in curves if drawing),
        learning=tuple(save(drawing, folder) for drawing in draw_learning(history)) if history else (),
        cohort=save(draw_flow(flow, evaluated=(summary.split, summary.subjects, summary.events)), folder),
    )


def _calibration_figures(folder: Path, landmark: LandmarkResult, landmark_number: int) -> Iterator[CalibrationFigure]:
    for number, calibration in enumerate(landmark.calibration, start=1):
        name = f"calibration_{landmark_number}_{number}"
        drawing = draw_calibration(calibration, landmark=landmark.name, unit=landmark.unit, name=name)
        yield CalibrationFigure(
            horizon=formatting.format_time(calibration.horizon, landmark.unit),
            values=calibration,
            figure=save(drawing, folder) if drawing else None,
        )
