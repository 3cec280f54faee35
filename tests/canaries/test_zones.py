"""Days are local and times are in UTC: no zone may change visits, labels or inputs, or let the outcome into them."""

import datetime
import re
from dataclasses import fields, replace

import numpy as np
import pytest

from survlstm.data.observed_visits import group_observed
from survlstm.data.outcomes.clinical import DeathOutcome, FirstCodeOutcome
from survlstm.data.outcomes.synthetic import SyntheticOutcome
from survlstm.data.prepare import prepare_uncached
from survlstm.data.sources.synthea import SyntheaSource
from survlstm.data.sources.synthea_format import EVENT_TABLES
from survlstm.data.sources.timestamps import to_local
from survlstm.data.tensors import Tensors
from survlstm.simulation import simulate_cohort
from survlstm.utils.errors import OutcomeError
from tests.records import SETTINGS, RecordsSource, events_of, random_records
from tests.zones import ZONES, rewrite_days

HYPERTENSION = "SNOMED/59621000"
SYNTHETIC = SyntheticOutcome(0.7, 1.7, 0.4, 0.4, 0.2, 1 / 60, seed=0, planted_codes=[])
OUTCOMES = {"first_code": FirstCodeOutcome([HYPERTENSION]), "synthetic": SYNTHETIC, "death": DeathOutcome()}


def read(folder, *, timezone=None):
    return SyntheaSource(str(folder), tuple(EVENT_TABLES), 0.01, timezone).read()


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    """A simulated export, whose days are days in UTC."""
    folder = tmp_path_factory.mktemp("export") / "utc"
    simulate_cohort(folder, patients=150, seed=3, history_years=10, end_date=datetime.date(2024, 4, 1), progress=False)
    return folder


@pytest.fixture(scope="module", params=ZONES)
def rewritten(request, export):
    """The zone, and the same export with the days of that zone."""
    folder = export.with_name(request.param.replace("/", "-"))
    rewrite_days(export, folder, timezone=request.param)
    return request.param, folder


def differing(one, other):
    return {
        field.name
        for field in fields(Tensors)
        if not np.array_equal(
            getattr(one, field.name), getattr(other, field.name), equal_nan=field.name in {"oracle_hazard", "row_time"}
        )
    }


@pytest.mark.parametrize("name", ["first_code", "synthetic"])
def test_days_of_another_zone_change_no_visit_label_or_input(export, rewritten, name):
    before, after = (
        prepare_uncached(RecordsSource(read(folder).events), OUTCOMES[name], SETTINGS)
        for folder in (export, rewritten[1])
    )
    assert before.tensors.event.sum() > 20
    assert before.preprocessing.as_plain() == after.preprocessing.as_plain()
    assert differing(before.tensors, after.tensors) == set()


def test_days_of_another_zone_let_nothing_of_the_day_of_death_in(rewritten):
    zone, folder = rewritten
    for timezone in (None, zone):
        visits = group_observed(read(folder, timezone=timezone).events, DeathOutcome(), SETTINGS).visits
        time, death = visits.visit_time, visits.subjects.death[visits.visit_subject]
        # A visit of dated entries only ends with its day.
        is_timed = time.astype(np.int64) % 86400 != 86399
        local = time if timezone else to_local(time, zone, is_timed=is_timed)
        assert (~np.isnat(death)).sum() > 100
        assert not (local >= death).any()


def test_days_of_another_zone_change_no_visit_before_a_death_whose_last_days_are_empty(export, rewritten):
    held, busy = [], np.zeros(0, dtype=bool)
    for folder in (export, rewritten[1]):
        events = read(folder).events
        visits = group_observed(events, DeathOutcome(), SETTINGS).visits
        held.append(visits_by_subject(visits))
        death = events.subjects.death[events.subject]
        is_close = np.abs(events.time - death) < np.timedelta64(3, "D")
        busy = np.resize(busy, len(events.subjects)) | (np.bincount(events.subject, is_close) > 0)
    quiet = [str(name) for name in events.subjects.subject_id[~busy & ~np.isnat(events.subjects.death)]]
    assert len(quiet) > 5
    for name in quiet:
        assert held[0][name] == held[1][name]


def visits_by_subject(visits):
    """Subject → times and codes of its visits."""
    return {
        str(name): (
            visits.visit_time[begin:end].tolist(),
            visits.codes[visits.code[visits.code_offsets[begin] : visits.code_offsets[end]]].tolist(),
        )
        for name, begin, end in zip(
            visits.subjects.subject_id, visits.visit_offsets[:-1], visits.visit_offsets[1:], strict=True
        )
    }


def test_the_reader_says_how_many_days_disagree_and_on_which_side(rewritten):
    zone, folder = rewritten
    (warning,) = [text for text in read(folder).warnings if "dated to the day" in text]
    side = "west" if zone == "Pacific/Honolulu" else "east"
    assert f"days look like days of a time zone {side} of Greenwich" in warning
    assert "data.source.timezone" in warning
    later, earlier = (int(number) for number in re.findall(r"(\d+) (?:are dated a day after|a day before)", warning))
    assert later > 5 * earlier if side == "east" else earlier > 5 * later
    assert not [text for text in read(folder, timezone=zone).warnings if "dated to the day" in text]


def test_a_zone_that_is_not_the_exports_is_doubted(export):
    (warning,) = [text for text in read(export, timezone="Asia/Tokyo").warnings if "dated to the day" in text]
    assert "data.source.timezone=Asia/Tokyo does not look like the zone of the export" in warning
    assert not [text for text in read(export).warnings if "dated to the day" in text]


MORNING = "2019-03-31T22:00:00"  # of 1 April in Melbourne


def test_the_drug_of_a_diagnosis_is_no_input_of_the_step_that_predicts_it():
    before = ("2018-05-01T22:00:00", "e0", ["X/other"])
    visit = [(MORNING, "e1", ["X/metformin"]), ("2019-04-01", "e1", ["X/diabetes"])]
    events = events_of({"a": [before, *visit]})
    visits = group_observed(events, FirstCodeOutcome(["X/diabetes"]), SETTINGS).visits
    assert visits_by_subject(visits)["a"][1] == ["X/other", "X/diabetes"]
    # Without the outcome all of it is one visit, at the time of the encounter.
    times, codes = visits_by_subject(group_observed(events, SYNTHETIC, SETTINGS).visits)["a"]
    assert len(times) == 2
    assert times[1] == datetime.datetime.fromisoformat(MORNING)
    assert sorted(codes[1:]) == ["X/diabetes", "X/metformin"]


@pytest.mark.parametrize("grouping", ["hybrid", "encounter", "same_day", "time_window"])
def test_two_hundred_patients_whose_drug_comes_with_the_diagnosis(grouping):
    generator = np.random.default_rng(0)
    records = {}
    for number in range(200):
        diagnosed = int(generator.integers(2, 9))
        visits = []
        for visit in range(8):
            evening = np.datetime64("2015-01-01T22:00:00") + np.timedelta64(
                90 * visit + int(generator.integers(60)), "D"
            )
            encounter = f"e{visit}"
            drugs = ["X/metformin"] if visit >= diagnosed else []
            visits.append((str(evening), encounter, ["X/visit", *drugs]))
            finding = "X/diabetes" if visit == diagnosed else f"X/{generator.integers(5)}"
            visits.append((str(evening + np.timedelta64(1, "D"))[:10], encounter, [finding]))
        records[f"s{number:03d}"] = visits
    source, settings = RecordsSource(events_of(records)), replace(SETTINGS, grouping=grouping)
    found = prepare_uncached(source, FirstCodeOutcome(["X/diabetes"]), settings)
    assert found.tensors.event.sum() > 100
    assert "X/metformin" not in found.vocabulary.entries
    assert prepare_uncached(source, SYNTHETIC, settings).flow.visits_made == 1600


@pytest.mark.parametrize("outcome", [DeathOutcome(), SYNTHETIC, FirstCodeOutcome(["X/0"])])
def test_codes_that_only_a_death_brings_are_no_inputs(outcome):
    records, deaths = random_records(40, seed=1), {}
    for number, name in enumerate(records):
        records[name].append(("2016-01-01T10:00:00", "known", ["X/0"]))
        if number % 2:
            deaths[name] = "2020-04-01"
            # East of Greenwich on the day of death, and once months before it.
            records[name].append(("2020-03-31T22:00:00", "c", ["SNOMED/308646001", "LOINC/69453-9"]))
            records[name].append(("2019-12-15T10:00:00", "d", ["SNOMED/308646001"]))
    source = RecordsSource(events_of(records, deaths=deaths))
    found = prepare_uncached(source, outcome, SETTINGS)
    assert found.flow.entries_left_out["code that only a death brings"] == 60
    assert not {"SNOMED/308646001", "LOINC/69453-9"} & set(found.vocabulary.entries)
    without = {name: [row for row in rows if row[1] not in "cd"] for name, rows in records.items()}
    assert (
        differing(
            found.tensors, prepare_uncached(RecordsSource(events_of(without, deaths=deaths)), outcome, SETTINGS).tensors
        )
        == set()
    )


def test_an_outcome_that_only_a_death_brings_is_refused():
    source = RecordsSource(events_of(random_records(40, seed=1)))
    with pytest.raises(
        OutcomeError,
        match=r"must not contain codes that are entered only because .* died.*SNOMED/308646001.*outcome=death",
    ):
        prepare_uncached(source, FirstCodeOutcome(["SNOMED/308646001"]), SETTINGS)
