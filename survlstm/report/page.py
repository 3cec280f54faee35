"""A verdict and all that led to it → report.html, one file that needs nothing else, and its figures beside it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from survlstm.data.prepare import Flow
from survlstm.evaluation.results import Calibration, Finding, LandmarkResult, Verdict, best_of
from survlstm.report import formatting
from survlstm.report.figures.calibration import draw_calibration
from survlstm.report.figures.canvas import Drawing, Plate, house_style, save
from survlstm.report.figures.cohort import draw_flow
from survlstm.report.figures.curves import draw_examples, draw_groups
from survlstm.report.figures.learning import draw_learning
from survlstm.report.figures.ranking import draw_forest, draw_heat_map
from survlstm.report.templates import page_environment
from survlstm.training.history import History
from survlstm.utils.files import write_text

log = logging.getLogger(__name__)

# The worst first, so that nobody scrolls past it.
LEVELS = ("failure", "warning", "note", "ok")


@dataclass(frozen=True)
class CalibrationPlate:
    """A landmark's calibration at one horizon, and its plate where groups could be formed."""

    horizon: str
    found: Calibration
    plate: Plate | None


@dataclass(frozen=True)
class Plates:
    """Every figure of the page, None or empty where its values are missing."""

    forest: Plate | None
    heat_map: Plate | None
    calibration: tuple[tuple[str, tuple[CalibrationPlate, ...]], ...]
    curves: tuple[Plate, ...]
    learning: tuple[Plate, ...]
    cohort: Plate


def write_report(
    folder: Path,
    *,
    title: str,
    banner: str = "",
    verdict: Verdict,
    findings: tuple[Finding, ...],
    flow: Flow,
    history: History | None,
    config_yaml: str,
    manifest: dict[str, str],
) -> Path:
    """Write ``folder/report.html`` and ``folder/figures/*.svg`` and ``*.png``; return the page's path.

    The page holds its style and figures and asks for nothing from anywhere. Equal values give equal bytes.
    ``history`` is None where a saved model was judged without training.
    """
    figures = folder / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    with house_style():
        plates = _draw(figures, verdict, flow, history)
    page = page_environment(Path(__file__).parent).get_template("page.html.jinja")
    path = folder / "report.html"
    # Its presence says that the run is finished.
    write_text(
        path,
        page.render(
            title=title,
            banner=banner,
            verdict=verdict,
            findings=sorted(findings, key=lambda finding: LEVELS.index(finding.level)),
            flow=flow,
            history=history,
            kept=history.best if history and history.epochs else None,
            config_yaml=config_yaml,
            manifest=manifest,
            plates=plates,
            best_baseline=best_of(verdict.rows, "baseline"),
            oracle=best_of(verdict.rows, "oracle"),
        ),
    )
    log.info("Report: %s", path)
    return path


def _draw(folder: Path, verdict: Verdict, flow: Flow, history: History | None) -> Plates:
    def plate(drawing: Drawing | None) -> Plate | None:
        return save(drawing, folder) if drawing else None

    curves = [
        draw(found, name=f"{name}_{place}")
        for place, found in enumerate(verdict.curves, start=1)
        for draw, name in ((draw_examples, "examples"), (draw_groups, "groups"))
    ]
    return Plates(
        forest=plate(draw_forest(verdict.rows)),
        heat_map=plate(draw_heat_map(verdict.landmarks)),
        calibration=tuple(
            (landmark.name, tuple(_calibration_plates(folder, landmark, place)))
            for place, landmark in enumerate(verdict.landmarks, start=1)
        ),
        curves=tuple(save(drawing, folder) for drawing in curves if drawing),
        learning=tuple(save(drawing, folder) for drawing in draw_learning(history)) if history else (),
        cohort=save(draw_flow(flow, judged=(verdict.split, verdict.subjects, verdict.events)), folder),
    )


def _calibration_plates(folder: Path, landmark: LandmarkResult, place: int) -> Iterator[CalibrationPlate]:
    for number, calibration in enumerate(landmark.calibration, start=1):
        name = f"calibration_{place}_{number}"
        drawing = draw_calibration(calibration, landmark=landmark.name, unit=landmark.unit, name=name)
        yield CalibrationPlate(
            horizon=formatting.time(calibration.horizon, landmark.unit),
            found=calibration,
            plate=save(drawing, folder) if drawing else None,
        )
