"""Findings → explanation.html, the same as a part of the run's report, and their figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from survlstm.evaluation.results import Estimate, Interval
from survlstm.explanation.effects import METHODS
from survlstm.explanation.findings import ExplanationResults
from survlstm.explanation.tables import days_since_first
from survlstm.explanation.text import conventions, headline, summary_lines, warnings
from survlstm.report.figures.canvas import DrawnFigure, SavedFigure, house_style, save
from survlstm.report.figures.explanation import CodeLine, CodeStrip, ImportanceBar, draw_codes, draw_subject
from survlstm.report.templates import template_environment
from survlstm.utils.files import write_text

PAGE = "explanation.html"
MOST_STRIPS = 10
_LINK = '<li><a href="#explanation">Explanation</a></li>'


class _Method(NamedTuple):
    rank: int
    importance: Estimate
    effect: Estimate
    top_share: float


class _Row(NamedTuple):
    name: str
    label: str
    is_planted: bool
    subjects: int
    methods: tuple[_Method, ...]


class _SubjectRow(NamedTuple):
    name: str
    label: str
    is_planted: bool
    entries: int
    last_day: float
    integrated_gradients: float
    occlusion: float


class _Subject(NamedTuple):
    why: str
    log_odds: float
    probability: float
    baseline_log_odds: float
    rows: tuple[_SubjectRow, ...]


class _Plates(NamedTuple):
    codes: SavedFigure
    subject: SavedFigure


def write_pages(
    folder: Path, found: ExplanationResults, entries: tuple[str, ...], *, report: Path | None, why: str
) -> bool:
    """Write ``folder/explanation.html`` and ``folder/figures``, and fill the places that ``report`` keeps.

    ``why`` says how the subject that is explained over time was chosen. False where there is no such report, or it has
    no place; whatever stood in its places is replaced.
    """
    figures = folder / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    shown = found.order()[: found.about.top]
    rows = tuple(_row(found, int(place)) for place in shown)
    by_size = _subject_rows(found, entries)
    with house_style():
        plates = _Plates(
            save(draw_codes(tuple(_line(row) for row in rows), METHODS), figures),
            save(_subject_drawing(found, entries, by_size[:MOST_STRIPS]), figures),
        )
    gradients = found.over_time.gradients
    shown_words: dict[str, Any] = {
        "about": found.about,
        "about_planted": found.planted is not None,
        "headline": headline(found),
        "lines": summary_lines(found),
        "warnings": warnings(found),
        "plates": plates,
        "methods": METHODS,
        "rows": rows,
        "sanity": [found.sanity.sentence(method) for method in METHODS],
        "subject": _Subject(
            why,
            gradients.log_odds,
            float(1 / (1 + np.exp(-gradients.log_odds))),
            gradients.baseline_log_odds,
            by_size[: found.about.top],
        ),
        "conventions": conventions(found),
    }
    environment = template_environment(Path(__file__).parent)
    environment.filters["capitalize_first"] = lambda words: words[:1].upper() + words[1:]
    write_text(folder / PAGE, environment.get_template("page.html.jinja").render(shown_words))
    section = environment.get_template("section.html.jinja").render(
        shown_words | {"lines": (headline(found), *summary_lines(found))}
    )
    return report is not None and _fill(report, {"explanation-link": _LINK, "explanation": section})


def _fill(report: Path, places: dict[str, str]) -> bool:
    """Put each text between its two comments; all of them or none."""
    if not report.is_file():
        return False
    page = report.read_text(encoding="utf-8")
    for name, text in places.items():
        # What comes from the data is escaped, so a comment is the page's own.
        begin, end = f"<!--{name}-->", f"<!--/{name}-->"
        if page.count(begin) != 1 or page.count(end) != 1:
            return False
        before, _, rest = page.partition(begin)
        page = f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}"
    write_text(report, page)
    return True


def _row(found: ExplanationResults, place: int) -> _Row:
    name = found.names[place]
    methods = []
    for method in METHODS:
        ranking = found.rankings[method]
        methods.append(
            _Method(
                int(ranking.rank[place]),
                _estimate(ranking.importance[place], ranking.importance_interval[place]),
                _estimate(ranking.effect[place], ranking.effect_interval[place]),
                float(ranking.top_share[place]),
            )
        )
    subjects = int(found.effects.present[:, place].sum())
    return _Row(name, found.label(name), name in found.planted_codes, subjects, tuple(methods))


def _estimate(value: float, interval: np.ndarray) -> Estimate:
    return Estimate(float(value), Interval(float(interval[0]), float(interval[1])))


def _line(row: _Row) -> CodeLine:
    first, second = (ImportanceBar(one.importance, one.effect.value) for one in row.methods)
    return CodeLine(row.label, row.is_planted, (first, second))


def _subject_rows(found: ExplanationResults, entries: tuple[str, ...]) -> tuple[_SubjectRow, ...]:
    """The codes of the subject, the largest attribution first, whatever its sign."""
    story = found.over_time
    days = days_since_first(story.record.time)
    total = np.bincount(story.cell_code, weights=story.cell_attribution, minlength=len(entries))[story.occlusion.code]
    rows = []
    for place in np.argsort(-np.abs(total), kind="stable"):
        name = entries[story.occlusion.code[place]]
        rows.append(
            _SubjectRow(
                name,
                found.label(name),
                name in found.planted_codes,
                int(story.occlusion.entries[place]),
                float(days[story.occlusion.last_visit[place] - story.record.first_visit]),
                float(total[place]),
                float(story.occlusion.effect[place]),
            )
        )
    return tuple(rows)


def _subject_drawing(found: ExplanationResults, entries: tuple[str, ...], rows: tuple[_SubjectRow, ...]) -> DrawnFigure:
    story = found.over_time
    strips = []
    for row in rows:
        here = story.cell_code == entries.index(row.name)
        attribution = np.zeros(story.record.visits)
        attribution[story.cell_visit[here]] = story.cell_attribution[here]
        strips.append(CodeStrip(row.label, row.is_planted, attribution))
    return draw_subject(days_since_first(story.record.time), story.trajectory, tuple(strips))
