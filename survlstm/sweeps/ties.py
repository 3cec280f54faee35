"""Decide whether validation distinguishes the two best groups of a sweep, by paired differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from survlstm.evaluation.bootstrap import Bootstrap
from survlstm.evaluation.comparators import Comparator
from survlstm.evaluation.results import Difference
from survlstm.evaluation.step_metrics import evaluate_steps, nll_by_subject
from survlstm.report.formatting import format_count, format_number
from survlstm.runs.validation_file import ValidationPredictions, read_validation
from survlstm.sweeps.load_runs import RunRow, Value
from survlstm.sweeps.repeats import CONFIDENCE, FEWEST_REPEATS, half_width

# Events of the validation split, as for the intervals of an evaluation.
FEWEST_EVENTS = 30
RESAMPLES = 1000


class Tie(NamedTuple):
    """The comparison of the two best groups.

    Attributes:
        is_tied: Whether the lead is smaller than its uncertainty; None if that can't be computed.
        sentence: The lead with its interval, or why there is none.
    """

    is_tied: bool | None
    sentence: str


def tie_of(best: Sequence[RunRow], second: Sequence[RunRow], *, figure: str, repeat_keys: Sequence[str]) -> Tie:
    """Compare the two best groups by their finished runs on validation subjects.

    Repeats are paired by ``repeat_keys``, and the mean of their differences has a 95 % t-interval. Single runs are
    paired by subject: the bootstrap resamples the subjects that both runs were validated on.

    Args:
        best: Runs of the best group.
        second: Runs of the second group.
        figure: ``"nll"`` or ``"c_td"``.
        repeat_keys: Config keys that pair the repeats, such as seed and fold.

    Returns:
        Whether the two are tied, with the lead of the first group as text; a positive lead means that it is better.
    """
    if len(best) == len(second) == 1:
        return _by_subjects(best[0], second[0], figure)
    return _by_repeats(_by_key(best, figure, repeat_keys), _by_key(second, figure, repeat_keys), figure)


def _by_key(rows: Sequence[RunRow], figure: str, repeat_keys: Sequence[str]) -> dict[tuple[Value, ...], float]:
    figures = [(row, getattr(row.val, figure)) for row in rows if row.is_finished]
    return {tuple(row.setting(key) for key in repeat_keys): found.value for row, found in figures if found}


def _by_repeats(best: dict[tuple[Value, ...], float], second: dict[tuple[Value, ...], float], figure: str) -> Tie:
    shared = [key for key in best if key in second]
    if len(shared) < FEWEST_REPEATS:
        return Tie(None, f"not told apart: {format_count(len(shared), 'pair')} of repeats, {FEWEST_REPEATS} are needed")
    sign = -1 if figure == "nll" else 1
    lead = sign * np.array([best[key] - second[key] for key in shared])
    mean, half = float(lead.mean()), half_width(float(lead.std(ddof=1)), len(shared))
    digits = _digits(half)
    margin = f"{format_number(mean, digits)} ± {format_number(half, digits)}"
    # Where only some repeats are shared, the paired lead can be negative although the group has the better mean.
    return Tie(mean <= half, f"leads by {margin} (95%, paired over {len(shared)} repeats)")


def _by_subjects(best: RunRow, second: RunRow, figure: str) -> Tie:
    ours, theirs = (read_validation(row.folder) for row in (best, second))
    if ours is None or theirs is None:
        return Tie(None, "not told apart: one run each, and no validation.npz that says how each subject fared")
    if ours.digest != theirs.digest:
        return Tie(None, "not told apart: one run each, on other validation subjects")
    events = ours.events
    if events < FEWEST_EVENTS:
        return Tie(None, f"not told apart: one run each, {events} validation events, {FEWEST_EVENTS} are needed")
    found = _difference(ours, theirs, figure)
    if found is None:
        return Tie(None, "not told apart: one run each, and a difference that some resamples leave undefined")
    sign = -1 if figure == "nll" else 1
    low, high = sorted(sign * end for end in found.interval)
    digits = _digits((high - low) / 2)
    said = (
        f"leads by {format_number(sign * found.value, digits)} (95% {format_number(low, digits)} to "
        f"{format_number(high, digits)}, paired "
        f"over {ours.subjects} validation subjects)"
    )
    return Tie(low <= 0 <= high, said)


def _digits(half: float) -> int:
    """Return the number of decimals that shows an uncertainty with two significant digits, at least three."""
    return 3 if half <= 0 else max(3, 1 - math.floor(math.log10(half)))


def _difference(ours: ValidationPredictions, theirs: ValidationPredictions, figure: str) -> Difference | None:
    bootstrap = Bootstrap(RESAMPLES, CONFIDENCE, FEWEST_EVENTS, seed=0)
    if figure == "nll":
        # The mean of a resample is a weighted sum; a concordance has to be computed anew for each resample.
        nll = [nll_by_subject(one.hazard, ours.step, ours.event, ours.exposure) for one in (ours, theirs)]
        weights = list(bootstrap.weights(len(ours.step) if ours.group is None else ours.group))
        first, second = (np.concatenate([weight @ one / weight.sum(axis=1) for weight in weights]) for one in nll)
        return bootstrap.difference(float(nll[0].mean() - nll[1].mean()), first, second)
    contenders = [Comparator("", "model", one.hazard, known_ahead=False) for one in (ours, theirs)]
    rows, _ = evaluate_steps(
        contenders,
        step=ours.step,
        event=ours.event,
        bootstrap=bootstrap,
        group=ours.group,
        exposure=ours.exposure,
    )
    return rows[1].c_td_difference
