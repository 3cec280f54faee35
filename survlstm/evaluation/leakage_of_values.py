"""Discrimination of each value alone, and values that agree with the survival as the predictions of a model do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from survlstm.data.preprocessing_state import PreprocessingState
from survlstm.data.tensors import Tensors
from survlstm.data.values.apply import COLUMN_SCALE, COLUMNS_PER_MEASURE
from survlstm.data.values.measures import Measure
from survlstm.evaluation.leakage_of_outcomes import DecidingEntry, compare_events
from survlstm.survival.kaplan_meier import kaplan_meier

# Groups of about equally many values; those in one group are tied.
GROUPS = 20
# A value with at most this many different ones is a category, as in 0 for no and 1 for yes.
MOST_CATEGORIES = 5
# Groups, their smallest size, and times at which predicted and observed survival are compared.
PREDICTED_GROUPS, FEWEST_IN_GROUP, TIMES = 10, 20, 20
# A prediction must vary this much between the groups, and its error be this small a share of that. The best of all
# times is taken, so that a looser rule would find values that agree by accident.
LEAST_SPREAD, LARGEST_ERROR = 0.1, 0.35


class ValueDiscrimination(NamedTuple):
    """Discrimination of one measure.

    Attributes:
        name: Code and unit.
        c_td: C-index of the last value so far as a risk, among the subjects with a value; NaN where no two of them can
            be compared. 1 - ``c_td`` is that of the low value as a risk.
        subjects: Number of subjects with a value.
        events: Number of events among them.
    """

    name: str
    c_td: float
    subjects: int
    events: int


class PredictedSurvival(NamedTuple):
    """A measure that agrees with the survival.

    Attributes:
        name: Code and unit.
        is_risk: Whether it agrees with 1 - survival.
        day: Days after time zero at which it agrees best.
        error: Root of the mean square of its differences from the Kaplan-Meier survival of the groups.
        subjects: Number of subjects with a value.
    """

    name: str
    is_risk: bool
    day: float
    error: float
    subjects: int


class _LastValues(NamedTuple):
    """Last value of a measure at each visit; NaN before the first."""

    measure: Measure
    value: Float64[np.ndarray, " visit"]

    @property
    def name(self) -> str:
        return f"{self.measure.code} ({self.measure.unit})" if self.measure.unit else self.measure.code


def discrimination_by_value(
    tensors: Tensors, members: Int64[np.ndarray, " member"], preprocessing: PreprocessingState
) -> tuple[ValueDiscrimination, ...]:
    """Compute the C-index of the last value of every measure that is an input.

    On the visit clock it is the last value so far at each step, on the landmark clock that at the landmark. Values are
    compared in at most ``GROUPS`` groups, the pairs within one count 1/2.

    Args:
        tensors: Data of all subjects.
        members: Indices of the subjects to rank.
        preprocessing: The fitted measures.

    Returns:
        One entry for each measure with columns or bins.
    """
    return tuple(_discrimination(tensors, members, last) for last in _last_values(tensors, preprocessing))


def predicted_survival(
    tensors: Tensors, members: Int64[np.ndarray, " member"], preprocessing: PreprocessingState
) -> tuple[PredictedSurvival, ...]:
    """Find measures from 0 to 1 that are, to a good approximation, the survival or the risk at some time.

    The subjects are grouped by their value at time zero. In the groups of a prediction the Kaplan-Meier survival at the
    time for which it was made equals the mean value. A strong predictor in other units never does, however well it
    ranks.

    Args:
        tensors: Data of all subjects.
        members: Indices of the subjects.
        preprocessing: The fitted measures.

    Returns:
        The measures, the one with the smallest error first.
    """
    found = (
        _predicted(tensors, members, last)
        for last in _last_values(tensors, preprocessing)
        if last.measure.low >= 0 and last.measure.high <= 1
    )
    return tuple(sorted((one for one in found if one is not None), key=lambda one: one.error))


def deciding_values(
    tensors: Tensors, members: Int64[np.ndarray, " member"], preprocessing: PreprocessingState
) -> tuple[DecidingEntry, ...]:
    """Find values that decide the outcome, of measures with a few different values only and without bins.

    A bin is a code, and ``survlstm.evaluation.leakage_of_outcomes.deciding_entries`` finds it.

    Args:
        tensors: Data of all subjects.
        members: Indices of the subjects.
        preprocessing: The fitted measures.
    """
    event = tensors.event[members]
    total = len(members), int(event.sum())
    found: list[DecidingEntry] = []
    for last in _last_values(tensors, preprocessing):
        value = _at_zero(tensors, members, last)
        distinct = np.unique(value[~np.isnan(value)])
        if last.measure.edges or len(distinct) > MOST_CATEGORIES:
            continue
        for each in distinct:
            group = int((value == each).sum()), int(event[value == each].sum())
            found += compare_events(f"{last.name} = {each:g}", group, total)
    return tuple(found)


def _at_zero(
    tensors: Tensors, members: Int64[np.ndarray, " member"], last: _LastValues
) -> Float64[np.ndarray, " member"]:
    """Return the value at the first visit, or at the landmark."""
    is_first = tensors.clock == "visit"
    return last.value[tensors.visit_offsets[members] if is_first else tensors.visit_offsets[members + 1] - 1]


def _last_values(tensors: Tensors, preprocessing: PreprocessingState) -> Iterator[_LastValues]:
    if preprocessing.values is None:
        return
    columns = {number: place for place, number in enumerate(preprocessing.values.column_measures)}
    numbers = {code: number for number, code in enumerate(preprocessing.vocabulary.entries)}
    # The entries of each code in turn, each in the order of the record.
    order = np.argsort(tensors.code, kind="stable")
    bounds = np.searchsorted(tensors.code[order], np.arange(len(numbers) + 1))
    for number, measure in enumerate(preprocessing.values.measures):
        if number in columns:
            first = preprocessing.first_value_column + COLUMNS_PER_MEASURE * columns[number]
            score = tensors.features[:, first].astype(np.float64) / COLUMN_SCALE
            value = np.interp(score, measure.scores, measure.knots)
            # The recency of a known value is above 0.
            yield _LastValues(measure, np.where(tensors.features[:, first + 2] > 0, value, np.nan))
        elif measure.edges:
            ends = np.array([measure.low, *measure.edges, measure.high])
            middle = (ends[1:] + ends[:-1]) / 2
            known = [
                (numbers[code], value) for code, value in zip(measure.bin_codes, middle, strict=True) if code in numbers
            ]
            entries = [order[bounds[code] : bounds[code + 1]] for code, _ in known]
            values = np.repeat([value for _, value in known], [len(each) for each in entries])
            yield _LastValues(measure, _carried_forward(tensors, np.concatenate([*entries, order[:0]]), values))


def _carried_forward(
    tensors: Tensors, entry: Int64[np.ndarray, " known"], value: Float64[np.ndarray, " known"]
) -> Float64[np.ndarray, " visit"]:
    """Return at each visit the value of the last of the entries in the record so far; NaN if there is none."""
    place = np.argsort(entry)
    visit = np.searchsorted(tensors.code_offsets, entry[place], side="right") - 1
    last = np.full(len(tensors.visit_time), -1, dtype=np.int64)
    # Of several entries of a visit, which are in the order of time, the last one stays.
    np.maximum.at(last, visit, np.arange(len(visit)))
    last = np.maximum.accumulate(last)
    owner = np.repeat(np.arange(len(tensors.step)), tensors.visits_per_subject)
    first_visit = tensors.visit_offsets[:-1][owner]
    is_own = np.append(visit, -1)[last] >= first_visit
    return np.where(is_own, np.append(value[place], np.nan)[last], np.nan)


def _discrimination(tensors: Tensors, members: Int64[np.ndarray, " member"], last: _LastValues) -> ValueDiscrimination:
    first, stop = tensors.visit_offsets[members], tensors.visit_offsets[members + 1]
    known = members[~np.isnan(last.value[stop - 1])]
    step, event = tensors.step[known], tensors.event[known]
    counts = ValueDiscrimination(last.name, float("nan"), len(known), int(event.sum()))
    if not counts.events:
        return counts
    group = _grouped(last.value, np.concatenate([last.value[first], last.value[stop - 1]]), GROUPS)
    event_steps = np.unique(step[event])
    at_risk, cases = (np.zeros((len(event_steps), GROUPS + 1), dtype=np.int64) for _ in range(2))
    for row, number in enumerate(event_steps):
        here = known[step >= number]
        of_step = tensors.visit_offsets[here] + number
        visit = of_step if tensors.clock == "visit" else tensors.visit_offsets[here + 1] - 1
        is_case = (tensors.step[here] == number) & tensors.event[here]
        at_risk[row] = np.bincount(group[visit], minlength=GROUPS + 1)
        cases[row] = np.bincount(group[visit[is_case]], minlength=GROUPS + 1)
    # The last group holds those without a value yet.
    controls, cases = (at_risk - cases)[:, :GROUPS], cases[:, :GROUPS]
    lower = np.cumsum(controls, axis=1) - controls
    comparable = int((cases.sum(axis=1) * controls.sum(axis=1)).sum())
    concordant = float((cases * (lower + 0.5 * controls)).sum())
    return counts._replace(c_td=concordant / comparable if comparable else float("nan"))


def _grouped(
    value: Float64[np.ndarray, " visit"], fitted: Float64[np.ndarray, " fitted"], groups: int
) -> Int64[np.ndarray, " visit"]:
    """Number the groups of values with about equally many of the fitted ones; the number of groups stands for NaN."""
    fitted = fitted[~np.isnan(fitted)]
    edges = np.unique(np.quantile(fitted, np.arange(1, groups) / groups, method="higher")) if len(fitted) else fitted
    return np.where(np.isnan(value), groups, np.searchsorted(edges, value, side="right"))


def _predicted(tensors: Tensors, members: Int64[np.ndarray, " member"], last: _LastValues) -> PredictedSurvival | None:
    at_zero = _at_zero(tensors, members, last)
    known = ~np.isnan(at_zero)
    value, duration, event = at_zero[known], tensors.duration_days[members[known]], tensors.event[members[known]]
    group = _grouped(value, value, PREDICTED_GROUPS)
    sizes = np.bincount(group, minlength=PREDICTED_GROUPS)
    large = np.flatnonzero(sizes >= FEWEST_IN_GROUP)
    if len(large) < 3 or not event.any():
        return None
    inside = [group == number for number in large]
    predicted = np.array([value[each].mean() for each in inside])
    weight = sizes[large] / sizes[large].sum()
    spread = float(np.sqrt(weight @ (predicted - weight @ predicted) ** 2))
    # Every group must be followed until the times of the comparison.
    longest = min(float(duration[each].max()) for each in inside)
    days = np.unique(np.quantile(duration[event], np.linspace(0.02, 0.98, TIMES)))
    days = days[days <= longest]
    if spread < LEAST_SPREAD or not len(days):
        return None
    observed = np.array([kaplan_meier(duration[each], event[each]).at(days) for each in inside])
    # Axis 0: the values as predicted survival, and as predicted risk. Axis 1: the days.
    errors = np.sqrt([weight @ (truth - predicted[:, None]) ** 2 for truth in (observed, 1 - observed)])
    is_risk, best = np.unravel_index(int(errors.argmin()), errors.shape)
    error = float(errors[is_risk, best])
    if error > LARGEST_ERROR * spread:
        return None
    return PredictedSurvival(last.name, bool(is_risk), float(days[best]), error, len(value))
