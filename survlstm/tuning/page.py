"""Render ``tune.html``, one file without external resources, and its figures."""

from __future__ import annotations

from pathlib import Path

import optuna

from survlstm.report.figures.canvas import DrawnFigure, SavedFigure, house_style, save
from survlstm.report.task import describe_task
from survlstm.report.templates import template_environment
from survlstm.tuning.check_space import compose_base
from survlstm.tuning.config import TuneConfig
from survlstm.tuning.experiment import train_command
from survlstm.tuning.figures import draw_importances, draw_slices, draw_trials
from survlstm.tuning.importance import importances, why_no_importances
from survlstm.tuning.space import overrides
from survlstm.tuning.trial_table import SETTLED, TrialSlot
from survlstm.utils.files import atomic_files, write_text

PAGE = "tune.html"
FIGURES = "figures"


def write_page(study: optuna.Study, config: TuneConfig, found: list[TrialSlot], best: TrialSlot | None) -> None:
    """Write ``tune.html`` and ``figures/*.svg`` and ``*.png`` into the study's folder, each atomically.

    Args:
        study: The study, for the importances.
        config: The config of the search; its folder receives the files.
        found: All trials of the search.
        best: The best complete trial; None if none is complete.
    """
    why_not = why_no_importances(found)
    with house_style():
        drawings = {
            "trials": draw_trials(found, best, config),
            "importances": None if why_not else draw_importances(importances(study, config), config),
        }
        slices = draw_slices(found, best, config)
        plates = _saved([*drawings.values(), *slices], config.folder / FIGURES)
    page = (
        template_environment(Path(__file__).parent)
        .get_template("page.html.jinja")
        .render(
            config=config,
            command=train_command(config),
            task=describe_task(compose_base(config.base)),
            best=best,
            lines=[] if best is None else overrides({key: best.params[key] for key in config.space}),
            found=sorted(found, key=lambda place: _order(place, config)),
            done=sum(place.state in SETTLED for place in found),
            counts={state: sum(place.state == state for place in found) for state in ("complete", "pruned", "failed")},
            plates={name: plates.get(drawing.name) if drawing else None for name, drawing in drawings.items()},
            slices=[plates[drawing.name] for drawing in slices],
            why_not=why_not,
        )
    )
    write_text(config.folder / PAGE, page)


def _order(place: TrialSlot, config: TuneConfig) -> tuple[int, float]:
    """Sort complete trials by their metric, then the others by number."""
    if place.state != "complete":
        return 1, place.slot
    return 0, (-1 if config.maximised else 1) * place.figure(config.metric)


def _saved(drawings: list[DrawnFigure | None], folder: Path) -> dict[str, SavedFigure]:
    folder.mkdir(exist_ok=True)
    with atomic_files(folder) as temporary:
        plates = {drawing.name: save(drawing, temporary) for drawing in drawings if drawing}
    return plates
