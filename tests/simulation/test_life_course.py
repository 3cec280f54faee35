"""Life courses of six thousand people: the order of diseases, the end of records, and the effect of risk factors."""

from __future__ import annotations

import numpy as np
import pytest

from survlstm.simulation.life_course import Lives, disease_number, simulate_lives
from survlstm.simulation.physiology import expected_values
from survlstm.simulation.population import People, draw_people
from survlstm.simulation.schedule import plan_visits
from survlstm.simulation.tables import diseases, encounter_kinds, orders, panel_codes, visit_series

END_DAY = 19_843


@pytest.fixture(scope="module")
def people() -> People:
    return draw_people(np.random.default_rng(0), 6_000, end_day=END_DAY)


@pytest.fixture(scope="module")
def lives(people: People) -> Lives:
    return simulate_lives(np.random.default_rng(1), people, end_day=END_DAY)


def ever(lives: Lives, name: str) -> np.ndarray:
    return np.isfinite(lives.onset[disease_number()[name]])


def test_a_disease_follows_the_one_it_needs(lives: Lives) -> None:
    for row, disease in enumerate(diseases()):
        if disease.needs:
            affected = np.isfinite(lives.onset[row])
            assert (lives.onset[disease_number()[disease.needs], affected] <= lives.onset[row, affected]).all()


def test_nothing_begins_before_birth_or_after_death(people: People, lives: Lives) -> None:
    assert (lives.onset >= people.birth_day).all()
    known = np.isfinite(lives.onset) & np.isfinite(lives.death_day)
    assert (lives.onset < lives.death_day + 1)[known].all()
    assert (lives.record_end <= END_DAY).all()


def test_a_cause_of_death_is_a_disease_that_the_person_had(lives: Lives) -> None:
    caused = np.flatnonzero(lives.cause >= 0)
    assert len(caused) > 300
    assert np.isfinite(lives.onset[lives.cause[caused], caused]).all()
    assert np.isfinite(lives.death_day[caused]).all()


def test_some_records_stop_before_the_last_day(lives: Lives) -> None:
    lost = np.isinf(lives.death_day) & (lives.record_end < END_DAY)
    assert 0.01 < lost.mean() < 0.05


@pytest.mark.parametrize(
    ("factor", "outcome", "least"),
    [("obesity", "diabetes", 1.3), ("diabetes", "ckd4", 1.3), ("hypertension", "heart_failure", 1.3)],
)
def test_a_disease_raises_the_next(lives: Lives, people: People, factor: str, outcome: str, least: float) -> None:
    adult = people.birth_day < END_DAY - 50 * 365
    with_factor, without = adult & ever(lives, factor), adult & ~ever(lives, factor)
    assert ever(lives, outcome)[with_factor].mean() > least * ever(lives, outcome)[without].mean()


def test_smokers_and_the_severely_ill_fare_worse(people: People, lives: Lives) -> None:
    bronchitis, dead = ever(lives, "chronic_bronchitis"), np.isfinite(lives.death_day)
    assert bronchitis[people.smoker].mean() > 2 * bronchitis[~people.smoker].mean()
    assert dead[people.severity > 1].mean() > 1.5 * dead[people.severity < -1].mean()


def test_the_filtration_rate_falls_with_the_stages(people: People, lives: Lives) -> None:
    visits = plan_visits(np.random.default_rng(2), people, lives, history_years=3.0)
    values = expected_values(people, lives, visits)
    day = visits.time / 86_400
    reached = np.sum(
        [lives.onset[disease_number()[stage]][visits.person] <= day for stage in ("ckd1", "ckd2", "ckd3", "ckd4")],
        axis=0,
    )
    transplanted = lives.onset[disease_number()["transplant"]][visits.person] <= day
    egfr = [values["33914-3"][(reached == stage) & ~transplanted].mean() for stage in range(5)]
    assert egfr == sorted(egfr, reverse=True)
    assert egfr[3] < 60 < egfr[1]


def test_the_tables_of_codes_fit_together() -> None:
    kinds = {kind.kind for kind in encounter_kinds()} | {"diagnosis"}
    panels, known = {panel.panel for panel in panel_codes()}, {disease.key for disease in diseases()} | {"dying"}
    assert {order.kind for order in orders()} <= kinds
    assert {order.panel for order in orders()} <= panels
    assert {order.during.removeprefix("!") for order in orders()} - {""} <= known
    assert {series.kind for series in visit_series()} <= kinds
    assert {series.during for series in visit_series()} - {""} <= known
    assert {name for disease in diseases() for name in (disease.needs, *disease.raised_by)} - {""} <= known


def test_only_hospice_visits_depend_on_dying() -> None:
    assert {order.kind for order in orders() if "dying" in order.during} <= {"hospice"}
    assert {series.kind for series in visit_series() if series.during == "dying"} == {"hospice"}
