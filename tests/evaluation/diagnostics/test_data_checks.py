"""Outcome, histories, leaks and warnings of the source: each warning sign, fine and not fine."""

import math
from dataclasses import replace

import numpy as np
import pytest

from survlstm.data.outcomes.synthetic import SyntheticOutcome
from survlstm.data.prepare import prepare_uncached
from survlstm.data.split import Split
from tests.evaluation.diagnostics.finished_runs import (
    DRAWN,
    GUIDE_1000,
    assert_finding,
    context_of,
    flow_of,
    found,
    tensors_of,
)
from tests.records import SETTINGS, RecordsSource, events_of, random_records
from tests.tensors import flat_tensors


@pytest.mark.parametrize(
    ("correlation", "level", "words"),
    [
        (-0.39, "ok", "as required"),
        (0.101, "warning", "little for a model to learn"),
        (math.nan, "warning", "little for a model to learn"),
    ],
)
def test_risk_and_event_time(correlation, level, words):
    flow = flow_of(**DRAWN | {"risk_time_correlation": correlation})
    finding = found("risk and event time", context_of(flow=flow))
    advice = () if level == "ok" else ("outcome.effect=2.55", "outcome.event_rate=0.6")
    assert_finding(finding, level, words, "must be below -0.3", advice)


@pytest.mark.parametrize(
    ("rate", "level", "advised"),
    [
        (0.69, "ok", ()),
        (0.726, "note", ("data.simulated.patients=2246",)),
        (0.62, "warning", ("outcome.censoring_chance=0.00833333", "data.simulated.patients=2246")),
    ],
)
def test_the_event_rate(rate, level, advised):
    finding = found("event rate", context_of(flow=flow_of(**DRAWN | {"event_rate": rate})))
    assert_finding(
        finding, level, "within 0.02" if level == "ok" else "from the requested one", f"event rate {rate:.3f}"
    )
    assert finding.advice == advised


def test_outcomes_of_the_records_are_not_asked_for_what_was_drawn():
    words = (*GUIDE_1000, "outcome=death")
    context = context_of(*words, flow=flow_of())
    assert_finding(found("risk and event time", context), "ok", "not a synthetic one")
    assert_finding(found("event rate", context), "ok", "those of the records", "120 of 180 evaluated subjects")


def test_histories_that_are_cut():
    cut = ("Histories look cut at about 2014-03, 10 years before the end: …",)
    assert_finding(found("left-truncated histories", context_of()), "ok", "no common start")
    drawn = context_of(flow=flow_of(cut, **DRAWN))
    assert_finding(found("left-truncated histories", drawn), "note", "drawn on what is left", "2014-03")
    finding = found("left-truncated histories", context_of(flow=flow_of(cut)))
    assert_finding(finding, "warning", "not the start of care", "2014-03")
    assert found("reading and labelling", drawn).level == "ok"


def test_other_warnings_of_the_source():
    context = context_of(flow=flow_of(("conditions: 3 rows have an unknown SYSTEM.", "x is empty."), **DRAWN))
    finding = found("reading and labelling", context)
    assert_finding(finding, "warning", "gave warnings: 2", "unknown SYSTEM. x is empty.")


def test_the_warnings_of_an_outcome_are_left_to_their_own_checks():
    outcome = SyntheticOutcome(0.9, 0.01, 0.4, 0.4, 0.2, 0.3, seed=0, planted_codes=[])
    flow = prepare_uncached(RecordsSource(events_of(random_records(80, seed=0))), outcome, SETTINGS).flow
    assert len(flow.warnings) == 2
    context = context_of(flow=flow)
    assert found("reading and labelling", context).level == "ok"
    assert found("risk and event time", context).level == "warning"
    assert found("event rate", context).level == "warning"


def test_a_code_that_is_the_outcome_is_suspected():
    def leaking(step, event):
        """Code 2 at the last visit of everybody with the event, code 3 elsewhere."""
        last = np.cumsum(step + 1) - 1
        code = np.full(int((step + 1).sum()), 3, dtype=np.int32)
        code[last[event]] = 2
        return code

    assert_finding(found("leak suspects", context_of()), "ok", "No code or value alone reaches", "best: ")
    context = context_of(tensors=tensors_of(code=leaking))
    finding = found("leak suspects", context)
    assert_finding(
        finding, "warning", "alone rank the subjects nearly perfectly", "A: C-index 1.000, 238 subjects, 238 events"
    )
    seen = context.run.prepared.tensors.split != Split.TEST
    assert context.run.prepared.tensors.event[seen].sum() == 238


def test_an_export_without_training_subjects_holds_no_suspects():
    tensors = tensors_of()
    strangers = replace(tensors, split=np.full_like(tensors.split, Split.TEST))
    finding = found("leak suspects", context_of(history=None, tensors=strangers))
    assert_finding(finding, "ok", "No code or value alone reaches", "no two subjects can be compared")


LANDMARK = (*GUIDE_1000, "clock=landmark", "clock.intervals=2", "clock.horizon_days=200")


def on_landmark_clock(*, censored_at):
    """Half of 200 subjects have the event on day 150, the others are censored in the second interval or behind it."""
    event = np.arange(200) % 2 == 0
    step = np.where(event, 1, 0 if censored_at < 200 else 1)
    return flat_tensors(
        step=step,
        event=event,
        visits=np.ones(200, dtype=np.int64),
        codes_per_visit=np.ones(200, dtype=np.int64),
        code=np.full(200, 2),
        duration_days=np.where(event, 150.0, censored_at),
        edge_days=(0.0, 100.0, 200.0),
    )


def test_censoring_inside_an_interval_that_shifts_the_risk_is_told():
    context = context_of(*LANDMARK, tensors=on_landmark_clock(censored_at=190.0))
    finding = found("intervals of the landmark clock", context, *LANDMARK)
    # In days half have the event; in intervals nobody but them is at risk in the second.
    assert_finding(finding, "warning", "Censoring inside the intervals", "1.000 in intervals, 0.500 in days")
    assert finding.advice == ("clock.intervals=4 clock.edges=equidistant",)


def test_censoring_behind_the_last_edge_shifts_nothing():
    context = context_of(*LANDMARK, tensors=on_landmark_clock(censored_at=300.0))
    finding = found("intervals of the landmark clock", context, *LANDMARK)
    assert_finding(finding, "ok", "hardly changes the risk", "0.500 in intervals, 0.500 in days")


def test_visits_have_no_intervals():
    assert_finding(found("intervals of the landmark clock", context_of()), "ok", "the steps are visits")
