"""Calendar years that tell the outcome: a table by hand, and a population whose living lose their earlier records."""

from dataclasses import replace

import numpy as np
import pytest

from survlstm.evaluation.diagnostics.data_checks import CUT_HISTORIES
from survlstm.evaluation.diagnostics.leak_checks import SUSPICIOUS_SCORE, telling_years
from survlstm.evaluation.leakage_of_eras import TimesAtRisk, find_era, times_at_risk
from tests.days import prepared_days
from tests.evaluation.diagnostics.finished_runs import GUIDE_1000, assert_finding, context_of, flow_of, found
from tests.tensors import flat_tensors, tensors_of

YEAR = 365.25
DEATH = (*GUIDE_1000, "outcome=death")


def landmarks(start, event, years, *, age=None):
    """One visit of each subject, at a day or in the middle of a year, and a follow-up of so many years after it."""
    start = np.array([f"{one}-07-01" if isinstance(one, int) else one for one in np.asarray(start).tolist()])
    one_each = np.ones(len(start), dtype=np.int64)
    tensors = flat_tensors(
        step=0 * one_each,
        event=event,
        visits=one_each,
        codes_per_visit=one_each,
        code=2 * one_each,
        duration_days=np.asarray(years) * YEAR,
        edge_days=(0.0, 5 * YEAR),
    )
    age = np.full(len(start), np.nan) if age is None else np.asarray(age, dtype=np.float64)
    return replace(tensors, visit_time=start.astype("datetime64[s]"), age_years=age)


def era_of(tensors):
    return find_era(tensors, times_at_risk(tensors, np.arange(len(tensors.subject_id))))


def forty_and_sixty(**more):
    """40 subjects with 20 events in 2013, 60 subjects with 12 events in 2014, each followed for a year."""
    number = np.arange(100)
    return landmarks(np.where(number < 40, 2013, 2014), (number < 20) | (number >= 88), np.ones(100), **more)


def test_rates_their_ratio_and_its_standard_error():
    era = era_of(forty_and_sixty())
    assert (era.year, era.subjects) == (2014, (40, 60))
    assert era.rates == pytest.approx((0.5, 0.2))
    assert era.ratio == pytest.approx(2.5)
    # The delta method for the logarithm of two independent proportions.
    assert era.score == pytest.approx(np.log(2.5) / np.sqrt(0.5 / 20 + 0.8 / 12))


def test_prediction_times_of_the_same_subjects_are_no_further_evidence():
    tensors = forty_and_sixty()
    once = times_at_risk(tensors, np.arange(100))
    often = find_era(tensors, TimesAtRisk(*(np.repeat(values, 7) for values in once)))
    expected = find_era(tensors, once)
    assert (often.ratio, often.score) == pytest.approx((expected.ratio, expected.score))


def test_a_difference_that_age_explains_is_none():
    # At 30 one of ten has the event, at 70 six of ten; before 2014 there are more of the old.
    number = np.arange(200)
    is_early, is_old = number < 100, (number < 80) | (number >= 180)
    tensors = landmarks(
        np.where(is_early, 2013, 2014),
        number % 10 < np.where(is_old, 6, 1),
        np.ones(200),
        age=np.where(is_old, 70, 30),
    )
    assert era_of(tensors).ratio == pytest.approx(1.0)
    assert era_of(replace(tensors, age_years=np.full(200, np.nan))).ratio == pytest.approx(50 / 20)


def two_visits(first, *, age, step):
    """Return ``forty_and_sixty`` with one more visit, ``first`` years before the landmark, where the steps begin."""
    tensors = forty_and_sixty(age=age)
    before = (np.asarray(first) * YEAR * 86400).astype("timedelta64[s]")
    times = np.column_stack([tensors.visit_time - before, tensors.visit_time]).ravel()
    found_codes = {"code": np.full(200, 2, dtype=np.int32), "code_offsets": np.arange(201)}
    offsets = {"visit_offsets": np.arange(0, 201, 2), "row_visits": np.full(100, 2)}
    return replace(tensors, step=np.full(100, step), visit_time=times, **offsets, **found_codes)


def test_a_difference_that_the_length_of_the_record_explains_is_none():
    is_early = np.arange(100) < 40
    assert era_of(two_visits(np.where(is_early, 20, 0.5), age=[50] * 100, step=0)).ratio == pytest.approx(1.0)
    assert era_of(two_visits(np.where(is_early, 20, 12), age=[50] * 100, step=0)).ratio == pytest.approx(2.5)


def test_age_is_that_at_each_visit():
    # 41 at the second visit, and 30 or 19 at the first.
    is_early = np.arange(100) < 40
    tensors = two_visits(np.where(is_early, 11, 22), age=np.where(is_early, 30, 19), step=1)
    assert era_of(replace(tensors, edge_days=np.empty(0))).ratio == pytest.approx(2.5)


@pytest.mark.parametrize(("subjects", "events"), [(19, 12), (40, 9)])
def test_groups_that_are_too_small_are_not_compared(subjects, events):
    number = np.arange(subjects + 60)
    event = (number < events) | (number >= subjects + 40)
    assert era_of(landmarks(np.where(number < subjects, 2013, 2014), event, np.ones(len(number)))) is None


@pytest.mark.parametrize("later", [1.0, 2.0])
def test_subjects_who_all_have_the_event_after_the_same_time_show_no_variation(later):
    start = np.where(np.arange(60) < 30, 2013, 2014)
    assert era_of(landmarks(start, [True] * 60, np.where(start == 2013, 1.0, later))) is None


def test_the_times_at_risk_of_each_clock():
    visits = tensors_of([2, 0], [True, False], [0, 0])
    found_times = times_at_risk(visits, np.array([1, 0]))
    assert found_times.subject.tolist() == [1, 0, 0, 0]
    assert found_times.event.tolist() == [False, False, False, True]
    assert found_times.exposure.tolist() == [1.0] * 4
    assert (found_times.start == visits.visit_time[[3, 0, 1, 2]]).all()

    landmark = times_at_risk(landmarks([2013, 2014], [True, False], [2, 9]), np.arange(2))
    assert landmark.exposure.tolist() == [2.0, 5.0]

    days = prepared_days("every_days:40", subjects=20).tensors
    everyone = np.arange(len(days.subject_id))
    rows, found_times = days.rows_of(everyone), times_at_risk(days, everyone)
    assert (found_times.start == days.row_time[rows]).all()
    assert (found_times.event == days.event[rows]).all()
    assert found_times.exposure.max() <= days.edge_days[-1] / YEAR


def population(*, cut):
    """Subjects with a constant rate of death, one landmark each, and an end of all follow-up in 2024.

    With ``cut`` the landmarks of the living before 2014 lie in 2014, as if their records began there.
    """
    generator = np.random.default_rng(3)
    begin, until_death = generator.uniform(1995, 2023.5, 1000), generator.exponential(25, 1000)
    event = begin + until_death < 2024
    if cut:
        begin = np.where(event | (begin > 2014), begin, 2014.0)
    start = [f"{int(one)}-{1 + int(one % 1 * 12):02d}-01" for one in begin]
    years = np.where(event, until_death, 2024 - begin)
    return landmarks(start, event & (years <= 5), years)


def test_late_years_with_a_short_follow_up_are_no_suspects():
    assert era_of(population(cut=False)).score < SUSPICIOUS_SCORE - 1
    finding = found("calendar years", context_of(*DEATH, tensors=population(cut=False)), *DEATH)
    assert_finding(finding, "ok", "does not tell the outcome", "events per year at risk: ")


def test_histories_that_are_cut_for_the_living_only_are_found():
    finding = found("calendar years", context_of(*DEATH, tensors=population(cut=True)), *DEATH)
    assert_finding(finding, "warning", "Before 2014 events are ", "before 2014 (")
    assert finding.advice == ("clock=days clock.times=as_of:2015-01-01", "data.simulated.history_years=100")


def test_times_are_advised_after_the_cut_of_the_histories():
    flow = flow_of([f"{CUT_HISTORIES} at about 2016-04, 8 years before the end: of 500 living subjects"])
    finding = telling_years(context_of(*DEATH, tensors=population(cut=True), flow=flow))
    assert finding.advice[0] == "clock=days clock.times=as_of:2017-01-01"


def test_an_export_is_asked_for_whole_histories():
    words = (*DEATH, "data.path=/tmp")
    assert telling_years(context_of(*words, tensors=population(cut=True))).advice[1:] == (
        "an export with whole histories in data.path",
    )


def test_data_without_enough_events_are_not_judged():
    finding = found("calendar years", context_of(tensors=landmarks([2013] * 30, [False] * 30, [1] * 30)))
    assert_finding(finding, "ok", "No calendar year divides", "too few subjects")
