"""Checks of a run on rows of the days clock: causality of a trained model, leak suspects, censoring in intervals."""

from dataclasses import replace

import numpy as np
import pytest
from torch import nn

from survlstm.data.split import Split
from survlstm.evaluation.diagnostics.data_checks import interval_censoring
from survlstm.evaluation.diagnostics.leak_checks import suspected_leakage
from survlstm.evaluation.sanity_checks import constant_hazards_score_half, hazards_are_causal
from tests.cohorts import HIT, at, record
from tests.days import days_settings, prepared_days
from tests.evaluation.diagnostics.finished_runs import context_of
from tests.learning import CPU, batches_of, model_for, prepared_on
from tests.prepared import prepared_from


class KnowsTheEnd(nn.Module):
    """A model whose hazards depend on the number of visits of the row."""

    def __init__(self, sound):
        super().__init__()
        self.sound = sound

    def forward(self, inputs):
        return self.sound(inputs) + inputs.visits_per_row.sum() / 1e3


@pytest.mark.parametrize("all_rows", [False, True])
@pytest.mark.parametrize("max_visits", [None, 3, 4])
def test_a_causal_model_is_found_to_be_one_on_rows(max_visits, all_rows):
    prepared = prepared_days("every_days:40", evaluated=("visit:4", "day:100"), subjects=90)
    batches = replace(batches_of(prepared, max_visits=max_visits), all_rows=all_rows)
    finding = hazards_are_causal(model_for(prepared), batches, CPU)
    assert finding.level == "ok", finding
    assert 25 <= int(finding.evidence.split(" subjects")[0]) <= 32
    assert int(finding.evidence.split(" hazards")[0].split()[-1]) > 500


def test_a_model_that_knows_the_end_of_the_record_is_caught_on_rows():
    prepared = prepared_on("days")
    batches = replace(batches_of(prepared), batch_size=1)
    finding = hazards_are_causal(KnowsTheEnd(model_for(prepared)), batches, CPU)
    assert finding.level == "failure"
    assert "reads later visits" in finding.finding


def test_one_prediction_time_each_has_no_later_visit():
    prepared = prepared_days("visit:5")
    finding = hazards_are_causal(model_for(prepared), batches_of(prepared), CPU)
    assert (finding.level, finding.evidence) == ("ok", "one prediction time per subject")


def test_rows_censored_within_the_first_interval_are_compared_with_none():
    data = prepared_on("days").tensors
    seen = data.step >= 0
    assert (~seen).sum() > 3
    assert constant_hazards_score_half(data.step[seen], data.event[seen]).level == "ok"


def checked(prepared, check):
    return check(context_of(tensors=prepared.tensors, vocabulary=prepared.vocabulary))


def test_a_code_that_precedes_the_event_is_a_suspect_also_if_only_late_rows_see_it():
    records = {}
    for number in range(160):
        own = record(*range(0, 1200, 60)) if number % 2 else record(*range(0, 200, 20), hit=205)
        if not number % 2:
            own = [(at(5), "e5", ["X/stage"]), *own[:-1], (at(190), "e190", ["X/late"]), own[-1]]
        records[f"s{number:03}"] = own
    prepared = prepared_from(records, HIT, days_settings("every_days:20", min_visits=1, edges_days=(250.0, 500.0)))
    finding = checked(prepared, suspected_leakage)
    assert finding.level == "warning"
    assert "X/stage: C-index 1.000" in finding.evidence
    assert "X/late: C-index 1.000" in finding.evidence


def test_shares_of_intervals_keep_the_risk_of_kaplan_meier():
    """The rows of the landmark clock would count a censored one from the start of its interval."""
    prepared = prepared_days("every_visit", intervals=2, horizon_days=300.0)
    found = checked(prepared, interval_censoring)
    assert (found.check, found.level) == ("intervals of the days clock", "ok")
    data = prepared.tensors
    rows = data.rows_of(data.members(Split.TRAIN))
    number = np.arange(2)
    share = np.where(data.step[rows, None] + 1 == number, data.exposure[rows, None], data.step[rows, None] >= number)
    events = (data.event[rows, None] & (data.step[rows, None] == number)).sum(axis=0)
    assert f"{1 - np.prod(1 - events / share.sum(axis=0)):.3f} in intervals" in found.evidence
