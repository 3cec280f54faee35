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
