"""The sentences at the top of a sweep's summary, and the formatting of its tables."""

from __future__ import annotations

from collections import Counter

from survlstm.report.formatting import format_count, format_estimate
from survlstm.sweeps.load_runs import STATES, RunRow
from survlstm.sweeps.repeats import FEWEST_REPEATS, RepeatSpread
from survlstm.sweeps.table import RepeatGroup, Sweep, most_influential_keys
from survlstm.utils.shell import format_command

# A sentence or a table row with more settings than this is too long to read.
MOST_COLUMNS = 5


def summary_sentences(sweep: Sweep) -> tuple[str, ...]:
    """Write the sentences of the summary.

    Args:
        sweep: The sweep.

    Returns:
        Job states and winner, test metrics of the winner, comparison with the second group, then remarks; one sentence
        if there is no winner.
    """
    jobs = f"{count_states(sweep)}."
    if sweep.winner is None:
        return (f"{jobs} No winner: no run has finished with a {sweep.metric.words}.",)
    best, second, tie = sweep.winner.group, sweep.winner.second, sweep.winner.tie
    first = f"{_named(best)}, {_figure(best, 'val', sweep.metric.figure)}"
    of_test = f"On test {'the first' if sweep.winner.is_tied else 'it'} has {describe_test(best)}; test metrics choose"
    lead = f"{jobs} Best by {sweep.metric.words}: {first}."
    rest: tuple[str, ...] = ()
    if second is not None and tie is not None:
        other = f"{_named(second)}, {_figure(second, 'val', sweep.metric.figure)}"
        rest = (f"Second: {other}; {tie.sentence}.",)
        if tie.is_tied:
            lead = f"{jobs} Tied by {sweep.metric.words}: {first}; and {other}."
            rest = (f"The first {tie.sentence}, which is too little to distinguish the two.",)
        elif tie.is_tied is False:
            rest = (f"Second: {other}; the best {tie.sentence}.",)
    return (lead, f"{of_test} nothing.", *rest, *sweep.winner.notes)


def _named(group: RepeatGroup) -> str:
    """Return the group's settings, or the name of its first run if there are too many settings for a sentence."""
    if len(group.values) <= MOST_COLUMNS:
        return group.label
    return f"run {group.rows[0].name}" + (f" and its {len(group.rows) - 1} repeats" if len(group.rows) > 1 else "")


def count_states(sweep: Sweep) -> str:
    """Count the jobs by state.

    Args:
        sweep: The sweep.

    Returns:
        The text, as in "9 jobs: 6 finished, 1 failed, 2 not begun".
    """
    counts = Counter(row.state for row in sweep.rows)
    parts = [
        f"{counts[state]} {'of unknown state' if state == 'unknown' else state}" for state in STATES if counts[state]
    ]
    parts += [f"{sweep.not_begun} not begun"] if sweep.not_begun else []
    return f"{format_count(len(sweep.rows) + sweep.not_begun, 'job')}: {', '.join(parts)}"


def describe_test(group: RepeatGroup) -> str:
    """Return the test metrics of a group as text.

    Args:
        group: The group of repeats.

    Returns:
        The metrics with their intervals; "no figures" if no finished run has any.
    """
    found = [(name, group.shown("test", name)) for name in ("c_td", "nll")]
    return " and ".join(f"{name} {format_estimate(figure)}" for name, figure in found if figure) or "no figures"


def _figure(group: RepeatGroup, split: str, figure: str) -> str:
    """Return a metric as text, as in "val_nll 2.21 (2.00 to 2.40)"."""
    found = format_estimate(group.shown(split, figure))
    repeats = len(group.finished)
    if repeats < 2:
        return f"{split}_{figure} {found}"
    few = f" (no interval: {FEWEST_REPEATS} are needed)" if repeats < FEWEST_REPEATS else ""
    return f"{split}_{figure} {found}, the mean of {repeats} repeats{few}"


def why_no_interval(spread: RepeatSpread) -> str:
    """Return why a metric over repeats has no interval.

    Args:
        spread: A spread without an interval because of too few repeats.

    Returns:
        The reason, as in "2 repeats, 3 are needed".
    """
    return f"{format_count(spread.number, 'repeat')}, {FEWEST_REPEATS} are needed"


def table_columns(sweep: Sweep) -> tuple[str, ...]:
    """Return the swept keys that get a column in tables of runs.

    Args:
        sweep: The sweep.

    Returns:
        The keys in their order, those that make repeats last. If there are more than ``MOST_COLUMNS``, the keys that
        make repeats and those with the largest effects.
    """
    swept = (*sweep.keys, *sweep.repeats)
    if len(swept) <= MOST_COLUMNS:
        return swept
    keys = most_influential_keys(sweep)[: max(1, MOST_COLUMNS - len(sweep.repeats))]
    return tuple(key for key in swept if key in {*keys, *sweep.repeats})


def failure_sentence(row: RunRow) -> str:
    """Return why a run failed or stopped, with its folder in the command that resumes it.

    Args:
        row: The run.

    Returns:
        The sentence of the run's record; empty if there is none.
    """
    return row.record.sentence.replace("survlstm train resume=RUN", format_command("train", f"resume={row.folder}"))
