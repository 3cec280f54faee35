"""Render a sweep's ``summary.html``, one file without external resources, and its figures."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from jinja2 import Environment
from markupsafe import Markup, escape

from survlstm.report.figures.canvas import SavedFigure, house_style, save
from survlstm.report.templates import template_environment
from survlstm.sweeps import text
from survlstm.sweeps.figures import draw_effects, draw_heat_map
from survlstm.sweeps.load_runs import STATES, RunRow, parse_override
from survlstm.sweeps.parallel_coordinates import draw_parallel
from survlstm.sweeps.table import CONVENTIONS, IDLE_KEYS, RepeatGroup, Sweep, format_setting
from survlstm.utils.formatting import MISSING, format_dollars, format_duration
from survlstm.utils.shell import format_command

# Further rows of a table are collapsed.
MOST_LINES = 25
AGAINST = {"beats": "beats it", "not shown": "not shown", "worse": "worse", "undecided": "undecided"}


@dataclass(frozen=True)
class SummaryFigures:
    """The figures of the page; None where there are not enough runs."""

    effects: SavedFigure | None
    heat_map: SavedFigure | None
    parallel: SavedFigure | None


def write_page(folder: Path, sweep: Sweep) -> None:
    """Write ``folder/summary.html`` and ``folder/figures/*.svg`` and ``*.png``; equal sweeps give equal bytes.

    Args:
        folder: The folder that receives the files; ``figures`` is created if it is missing.
        sweep: The sweep. Links to its runs are relative to ``sweep.folder``.
    """
    figures = folder / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    with house_style():
        drawings = [draw(sweep) for draw in (draw_effects, draw_heat_map, draw_parallel)]
        plates = SummaryFigures(*(save(drawing, figures) if drawing else None for drawing in drawings))
    page = (
        _environment()
        .get_template("summary.html.jinja")
        .render(
            title=f"Sweep {sweep.folder.resolve().name}",
            sweep=sweep,
            verdict=text.summary_sentences(sweep),
            rows=best_first(sweep),
            groups=best_groups_first(sweep),
            columns=text.table_columns(sweep),
            first=MOST_LINES,
            overridden=_overridden(sweep),
            chosen={row.name for group in _chosen(sweep) for row in group.rows},
            chosen_groups=[id(group) for group in _chosen(sweep)],
            troubles=_troubles(sweep),
            running=sum(row.state == "running" for row in sweep.rows),
            unfinished=sum(not row.is_finished for row in sweep.rows) + sweep.not_begun,
            completing=_completing(sweep),
            seconds=[row.seconds for row in sweep.rows if row.seconds is not None],
            costs=[row.cost for row in sweep.rows if row.cost is not None],
            times=sorted(time for row in sweep.rows for time in (row.record.started, row.record.ended) if time),
            noted=[row for row in sweep.rows if row.notes],
            conventions=CONVENTIONS,
            plates=plates,
        )
    )
    (folder / "summary.html").write_text(page, encoding="utf-8")


def _chosen(sweep: Sweep) -> list[RepeatGroup]:
    """Return the winner, and the second group if they are tied."""
    if sweep.winner is None:
        return []
    second = sweep.winner.second
    return [sweep.winner.group, *([second] if sweep.winner.is_tied and second is not None else [])]


class FailureGroup(NamedTuple):
    """Runs that ended in the same state with the same error, so that it is shown once."""

    state: str
    sentence: str
    rows: tuple[RunRow, ...]


def _troubles(sweep: Sweep) -> list[FailureGroup]:
    alike: dict[tuple[str, str], list[RunRow]] = {}
    for row in sweep.rows:
        if row.state not in {"finished", "running"}:
            alike.setdefault((row.state, row.record.sentence), []).append(row)
    return [
        FailureGroup(state, text.failure_sentence(rows[0]) if len(rows) == 1 else sentence, tuple(rows))
        for (state, sentence), rows in alike.items()
    ]


def _completing(sweep: Sweep) -> str:
    """Return the command that runs the missing jobs; empty if none is missing or a job is still running."""
    is_whole = all(row.is_finished for row in sweep.rows) and not sweep.not_begun
    if sweep.planned is None or is_whole or any(row.state == "running" for row in sweep.rows):
        return ""
    return format_command("train", f"sweep.resume={sweep.folder}")


def _overridden(sweep: Sweep) -> tuple[str, ...]:
    """Return the winner's overrides, without those of repeats; empty if the first sentence names all of them."""
    if sweep.winner is None:
        return ()
    given = sweep.winner.group.rows[0].record.overrides
    lines = tuple(line for line in given if parse_override(line)[0] not in {*sweep.repeats, *IDLE_KEYS})
    return lines if len(lines) > len(sweep.keys) or len(lines) > text.MOST_COLUMNS else ()


def best_first(sweep: Sweep) -> list[RunRow]:
    """Sort the runs of a sweep for a table.

    Args:
        sweep: The sweep.

    Returns:
        The finished runs by the metric, the best first, then those without it, then the others by state.
    """
    scores = {id(row): sweep.metric.order(score) for row, score in sweep.scored}
    return sorted(
        sweep.rows, key=lambda row: (STATES.index(row.state), id(row) not in scores, scores.get(id(row), 0.0))
    )


def best_groups_first(sweep: Sweep) -> list[RepeatGroup]:
    """Sort the groups of a sweep for a table.

    Args:
        sweep: The sweep.

    Returns:
        The groups by their mean of the metric on validation, the best first; those without a mean last.
    """
    means = {id(group): group.spread("val", sweep.metric.figure) for group in sweep.groups}

    def order(group: RepeatGroup) -> tuple[bool, float]:
        found = means[id(group)]
        return (found is None, sweep.metric.order(found.mean) if found else 0.0)

    return sorted(sweep.groups, key=order)


def _page_of(row: RunRow) -> str:
    """Return the link from the sweep's page to a run's report; empty if there is no report."""
    return f"./{quote(row.name)}/report.html" if (row.folder / "report.html").is_file() else ""


def _breakable(name: str) -> Markup:
    """Allow line breaks between the parts of a name."""
    return Markup(re.sub(r"([,=/]|[._](?=[A-Za-z]))", r"\1<wbr>", str(escape(name))))


def _environment() -> Environment:
    environment = template_environment(Path(__file__).parent)
    environment.filters |= {
        "value": format_setting,
        "duration": format_duration,
        "dollars": format_dollars,
        "test_words": text.describe_test,
        "page_of": _page_of,
        "breakable": _breakable,
        "why_no_interval": text.why_no_interval,
        "identity": id,
        "against": lambda found: AGAINST.get(found, MISSING),
    }
    return environment
