"""The pbc2 trial as a MEDS dataset: the figures that its publications give for prediction at five and six years."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from survlstm.config.compose import check_overrides
from survlstm.config.schema.run import RunConfig
from survlstm.data.factory import build_outcome, build_settings, build_source
from survlstm.data.prepare import prepare_uncached
from tests.real_data import shared_data

SCRIPT = Path(__file__).parents[2] / "scripts" / "pbc2_to_meds.py"
YEAR = 365.25


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pbc2") / "dataset"
    csv = shared_data("pbc2") / "pbc2.csv"
    done = subprocess.run([sys.executable, str(SCRIPT), str(csv), str(folder)], capture_output=True, text=True)
    assert (done.returncode, done.stdout.split(":")[0]) == (0, "312 patients, 1,945 visits, 22,376 events")
    return folder


def prepared(dataset, *words):
    outcome = ["outcome=first_code", 'outcome.codes=["PBC2//DEATH_OR_TRANSPLANTATION"]', "data.min_visits=1"]
    clock = ["clock=landmark", "clock.visit=null", "clock.edges=equidistant", "clock.intervals=36"]
    (config,) = check_overrides("train", ["data=meds", f"data.path={dataset}", *outcome, *clock, *words], RunConfig)
    return prepare_uncached(build_source(config.data, dataset), build_outcome(config.outcome), build_settings(config))


# JMbayes2's article on dynamic predictions has 202 subjects at risk at five years and 40 events within three years.
@pytest.mark.parametrize(("landmark", "horizon", "at_risk", "events"), [(5, 3, 202, 40), (6, 2, 166, 25)])
def test_the_subjects_at_risk_are_those_of_the_publications(dataset, landmark, horizon, at_risk, events):
    data = prepared(dataset, f"clock.day={landmark * YEAR}", f"clock.horizon_days={horizon * YEAR}")
    flow = data.flow
    unobserved = flow.subjects_excluded[-1]
    assert unobserved.reason.startswith("censored before the first edge")
    assert flow.subjects_used + unobserved.subjects == at_risk
    assert int(data.tensors.event.sum()) == events
    assert flow.tables[0].rows_read == flow.tables[0].rows_used == 23_764


def test_sex_and_treatment_are_static_codes(dataset):
    data = prepared(dataset, f"clock.day={5 * YEAR}", f"clock.horizon_days={3 * YEAR}")
    static = {"GENDER//F", "GENDER//M", "TREATMENT//D-penicillamine", "TREATMENT//placebo"}
    assert static <= set(data.vocabulary.entries)
    assert "PBC2//DEATH_OR_TRANSPLANTATION" not in data.vocabulary.entries
    assert data.flow.entries_added == 2 * data.flow.visits_used
    sex = data.tensors.groups[:, 0]
    assert set(np.unique(sex)) == {"F", "M"}


def test_prediction_times_leave_nobody_out_who_is_at_risk_at_the_landmark(dataset):
    """On the days clock those censored within the first interval count for the share that was observed."""
    words = ["clock=days", "evaluation.times=[day:1826,day:2192]", "clock.edges_days=[183,365,548,731,913,1096]"]
    outcome = ["outcome=first_code", 'outcome.codes=["PBC2//DEATH_OR_TRANSPLANTATION"]', "data.min_visits=1"]
    (config,) = check_overrides("train", ["data=meds", f"data.path={dataset}", *outcome, *words], RunConfig)
    source = build_source(config.data, dataset)
    tensors = prepare_uncached(source, build_outcome(config.outcome), build_settings(config)).tensors
    for kind, at_risk, horizon, events in ((1, 202, 1096, 40), (2, 166, 731, 25)):
        rows = tensors.row_kind == kind
        assert rows.sum() == at_risk
        assert (tensors.event[rows] & (tensors.duration_days[rows] <= horizon)).sum() == events
    assert (tensors.row_kind == 0).sum() == 1_945


@pytest.mark.slow
def test_the_repeated_cross_validation_of_the_published_table_ranks_better_than_chance(dataset):
    script = SCRIPT.with_name("published_pbc2.py")
    words = ["repeats=1", "resamples=20", "trainer.epochs=15"]
    done = subprocess.run([sys.executable, str(script), str(dataset), *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "202 at risk, 40 events; 1 repeats of 5 folds" in done.stdout
    (cells,) = {
        line.split("|")[2] for line in done.stdout.splitlines() if line.startswith("| LSTM |") and "+" not in line
    }
    assert float(cells.split("(")[0]) > 0.7
