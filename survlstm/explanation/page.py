"""HTML page of an explanation, the same section in the report of the run, and their figures."""

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
# Codes in the figure of one subject.
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
    subject_choice: str
    log_odds: float
    probability: float
    baseline_log_odds: float
    rows: tuple[_SubjectRow, ...]


class _Figures(NamedTuple):
    codes: SavedFigure
    subject: SavedFigure


def write_pages(
    folder: Path, results: ExplanationResults, entries: tuple[str, ...], *, report: Path | None, subject_choice: str
) -> bool:
    """Write ``folder/explanation.html`` and ``folder/figures``, and insert the section into a report.

    Args:
        folder: folder to write to; created if missing.
        results: the results to show.
        entries: names in the vocabulary, in the order of their indices.
        report: report of the run, which holds pairs of comments between which the section and a link to it belong. A
            section that is there already is replaced. None to write the page only.
        subject_choice: how the subject that is explained over time was chosen, as words after "The subject".

    Returns:
        True if the section was inserted; False if there is no report or it lacks the comments.
    """
    figures = folder / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    shown = results.order()[: results.about.top]
    rows = tuple(_row(results, int(code)) for code in shown)
    by_size = _subject_rows(results, entries)
    with house_style():
        drawings = _Figures(
            save(draw_codes(tuple(_line(row) for row in rows), METHODS), figures),
            save(_subject_drawing(results, entries, by_size[:MOST_STRIPS]), figures),
        )
    gradients = results.over_time.gradients
    variables: dict[str, Any] = {
        "about": results.about,
        "about_planted": results.planted is not None,
        "headline": headline(results),
        "lines": summary_lines(results),
        "warnings": warnings(results),
        "figures": drawings,
        "methods": METHODS,
        "rows": rows,
        "sanity": [results.sanity.sentence(method) for method in METHODS],
        "subject": _Subject(
            subject_choice,
            gradients.log_odds,
            float(1 / (1 + np.exp(-gradients.log_odds))),
            gradients.baseline_log_odds,
            by_size[: results.about.top],
        ),
        "conventions": conventions(results),
    }
    environment = template_environment(Path(__file__).parent)
    environment.filters["capitalize_first"] = lambda text: text[:1].upper() + text[1:]
    write_text(folder / PAGE, environment.get_template("page.html.jinja").render(variables))
    section = environment.get_template("section.html.jinja").render(
        variables | {"lines": (headline(results), *summary_lines(results))}
    )
    return report is not None and _fill(report, {"explanation-link": _LINK, "explanation": section})


def _fill(report: Path, sections: dict[str, str]) -> bool:
    """Insert each text between its two comments, all of them or none."""
    if not report.is_file():
        return False
    page = report.read_text(encoding="utf-8")
    for name, text in sections.items():
        # Text from the data is escaped, so that only the report itself can hold these comments.
        begin, end = f"<!--{name}-->", f"<!--/{name}-->"
        if page.count(begin) != 1 or page.count(end) != 1:
            return False
        before, _, rest = page.partition(begin)
        page = f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}"
    write_text(report, page)
    return True


def _row(results: ExplanationResults, code: int) -> _Row:
    name = results.names[code]
    methods = []
    for method in METHODS:
        ranking = results.rankings[method]
        methods.append(
            _Method(
                int(ranking.rank[code]),
                _estimate(ranking.importance[code], ranking.importance_interval[code]),
                _estimate(ranking.effect[code], ranking.effect_interval[code]),
                float(ranking.top_share[code]),
            )
        )
    subjects = int(results.effects.present[:, code].sum())
    return _Row(name, results.label(name), name in results.planted_codes, subjects, tuple(methods))


def _estimate(value: float, interval: np.ndarray) -> Estimate:
    return Estimate(float(value), Interval(float(interval[0]), float(interval[1])))


def _line(row: _Row) -> CodeLine:
    first, second = (ImportanceBar(method.importance, method.effect.value) for method in row.methods)
    return CodeLine(row.label, row.is_planted, (first, second))


def _subject_rows(results: ExplanationResults, entries: tuple[str, ...]) -> tuple[_SubjectRow, ...]:
    """Make one row per code of the subject, ordered by the absolute value of its attribution, largest first."""
    over_time = results.over_time
    days = days_since_first(over_time.record.time)
    total = np.bincount(over_time.cell_code, weights=over_time.cell_attribution, minlength=len(entries))[
        over_time.occlusion.code
    ]
    rows = []
    for index in np.argsort(-np.abs(total), kind="stable"):
        name = entries[over_time.occlusion.code[index]]
        rows.append(
            _SubjectRow(
                name,
                results.label(name),
                name in results.planted_codes,
                int(over_time.occlusion.entries[index]),
                float(days[over_time.occlusion.last_visit[index] - over_time.record.first_visit]),
                float(total[index]),
                float(over_time.occlusion.effect[index]),
            )
        )
    return tuple(rows)


def _subject_drawing(
    results: ExplanationResults, entries: tuple[str, ...], rows: tuple[_SubjectRow, ...]
) -> DrawnFigure:
    over_time = results.over_time
    strips = []
    for row in rows:
        here = over_time.cell_code == entries.index(row.name)
        attribution = np.zeros(over_time.record.visits)
        attribution[over_time.cell_visit[here]] = over_time.cell_attribution[here]
        strips.append(CodeStrip(row.label, row.is_planted, attribution))
    return draw_subject(days_since_first(over_time.record.time), over_time.trajectory, tuple(strips))
