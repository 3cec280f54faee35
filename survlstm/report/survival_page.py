"""Predicted curves → survival.html, one file that needs nothing else, and its figures beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from survlstm.report.figures.canvas import house_style, save
from survlstm.report.figures.survival import (
    UNITS,
    GroupCurve,
    SubjectCurve,
    TimeGrid,
    draw_risk_groups,
    draw_subjects,
)
from survlstm.report.templates import template_environment
from survlstm.utils.files import write_text


@dataclass(frozen=True)
class ScoredCohort:
    """What the page shows of a scored cohort.

    ``left_out`` are the subjects asked for that can't be drawn, each with its reason; ``not_scored`` counts subjects by
    kind of reason. ``sample`` is how many subjects of a group the bands come from, None where they are all. ``banner``
    is that of a drawn outcome.
    """

    outcome: str
    steps: str
    times: TimeGrid
    horizons: tuple[float, ...]
    subjects: tuple[SubjectCurve, ...]
    groups: tuple[GroupCurve, ...]
    left_out: Mapping[str, str]
    not_scored: Mapping[str, int]
    notes: tuple[str, ...]
    sample: int | None
    origin: Mapping[str, str]
    banner: str = ""

    @property
    def number(self) -> int:
        """How many subjects are scored."""
        return sum(group.subjects for group in self.groups)

    @property
    def mean_risk(self) -> float:
        """Over all who are scored."""
        alive = sum(group.subjects * float(group.mean[-1]) for group in self.groups if group.subjects)
        return 1 - alive / self.number


def write_survival_page(folder: Path, scored: ScoredCohort) -> Path:
    """Write ``folder/survival.html``, ``survival_*.svg`` and ``.png``; equal values give equal bytes."""
    with house_style():
        subjects = [save(drawing, folder) for drawing in draw_subjects(scored.subjects, scored.times)]
        groups = save(draw_risk_groups(scored.groups, scored.times), folder)
    page = template_environment(Path(__file__).parent).get_template("survival.html.jinja")
    path = folder / "survival.html"
    text = page.render(
        title="Survival curves",
        scored=scored,
        unit=UNITS[scored.times.unit],
        is_landmark=scored.times.unit == "days",
        subject_plates=subjects,
        group_plate=groups,
    )
    # Its presence says that everything else is there.
    write_text(path, text)
    return path
