"""The page of predicted survival curves: survival.html, a single self-contained file, and its figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from survlstm.report.figures.canvas import house_style, save
from survlstm.report.figures.survival import (
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
    """Predictions for a cohort, as the page shows them.

    Attributes:
        outcome: The outcome of the model.
        steps: Meaning of a step.
        times: Times of the curves.
        horizons: Horizons of the table.
        subjects: Subjects whose curves are drawn.
        groups: Risk groups, the lowest risk first.
        left_out: Reasons why requested subjects cannot be drawn, by subject.
        not_scored: Number of subjects that are not scored, by kind of reason.
        notes: Sentences below the headline.
        sample: Number of subjects of a group from which the bands are computed; None for all.
        origin: Entries that identify the model and the data.
        banner: Banner of a drawn outcome; empty otherwise.
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
        """Number of scored subjects."""
        return sum(group.subjects for group in self.groups)

    @property
    def mean_risk(self) -> float:
        """Mean risk of all scored subjects."""
        survivors = sum(group.subjects * float(group.mean[-1]) for group in self.groups if group.subjects)
        return 1 - survivors / self.number


def write_survival_page(folder: Path, scored: ScoredCohort) -> Path:
    """Write ``survival.html`` and the files of its figures; equal values give equal bytes.

    Args:
        folder: The folder that receives the files.
        scored: The predictions.

    Returns:
        The path of the page.
    """
    with house_style():
        subjects = [save(drawing, folder) for drawing in draw_subjects(scored.subjects, scored.times)]
        groups = save(draw_risk_groups(scored.groups, scored.times), folder)
    page = template_environment(Path(__file__).parent).get_template("survival.html.jinja")
    path = folder / "survival.html"
    text = page.render(
        title="Survival curves",
        scored=scored,
        unit=scored.times.after_start,
        in_days=scored.times.unit == "days",
        subject_figures=subjects,
        group_figure=groups,
    )
    # The page is written last, so that its presence marks all files as complete.
    write_text(path, text)
    return path
