"""compare: the subjects that runs share, in the order of their c_td."""

import numpy as np
import pandas as pd
import pytest

from survlstm.evaluation.bootstrap import Bootstrap
from survlstm.evaluation.comparison import compare
from survlstm.utils.errors import CohortError, OutcomeError

BOOTSTRAP = Bootstrap(resamples=200, confidence=0.95, min_events=30, seed=0)


@pytest.fixture(scope="module")
def labels():
    generator = np.random.default_rng(0)
    true = generator.uniform(0.02, 0.5, 300)
    drawn = generator.geometric(true) - 1
    end = np.minimum(generator.geometric(0.1, 300) - 1, 10)
    return true, np.minimum(drawn, end), drawn <= end


def table(hazard, step, event, names=None):
    row = np.repeat(np.arange(len(step)), step + 1)
    number = np.arange(len(row)) - np.repeat(np.cumsum(step + 1) - (step + 1), step + 1)
    names = np.array([f"s{n:04d}" for n in range(len(step))]) if names is None else names
    frame = pd.DataFrame(
        {
            "subject_id": names[row],
            "split": "test",
            "step": number,
            "hazard": hazard[row],
            "last_step": step[row],
            "event": event[row],
        }
    )
    frame.attrs["clock"] = "visit"
    return frame


def noisy(true, seed):
    return np.clip(true * np.random.default_rng(seed).uniform(0.2, 1.8, len(true)), 0.01, 0.9)


def test_the_better_run_leads_and_the_difference_is_paired(labels):
    true, step, event = labels
    random = np.random.default_rng(9).uniform(0.02, 0.5, 300)
    found = compare({"noise": table(random, step, event), "true": table(true, step, event)}, BOOTSTRAP)
    assert [row.name for row in found.rows] == ["true", "noise"]
    assert (found.subjects, found.events) == (300, int(event.sum()))
    assert found.rows[0].c_td_difference is None
    difference = found.rows[1].c_td_difference
    assert difference.value == pytest.approx(found.rows[0].c_td.value - found.rows[1].c_td.value)
    assert difference.interval.low > 0
    assert difference.p < 0.02
    assert found.rows[1].nll_difference.value < 0
    assert not found.notes


def test_a_run_against_itself_differs_by_nothing(labels):
    true, step, event = labels
    found = compare({"one": table(true, step, event), "same": table(true, step, event)}, BOOTSTRAP)
    difference = found.rows[1].c_td_difference
    assert (difference.value, difference.interval, difference.p) == (0.0, (0.0, 0.0), 1.0)


def test_the_paired_interval_is_narrower_than_the_runs_own(labels):
    true, step, event = labels
    found = compare({"a": table(true, step, event), "b": table(noisy(true, 1), step, event)}, BOOTSTRAP)
    own, paired = found.rows[0].c_td.interval, found.rows[1].c_td_difference.interval
    assert paired.high - paired.low < own.high - own.low


def test_other_test_sets_are_said_and_only_shared_subjects_compared(labels):
    true, step, event = labels
    part = slice(0, 250)
    names = np.array([f"s{n:04d}" for n in range(250)])
    found = compare(
        {"all": table(true, step, event), "part": table(true[part], step[part], event[part], names)}, BOOTSTRAP
    )
    assert found.subjects == 250
    assert found.subjects_of == {"all": 300, "part": 250}
    assert (
        found.notes[0] == "the test sets differ (all 300, part 250 subjects): compared on the 250 that all of them hold"
    )


def test_equally_many_but_other_subjects_are_said_too(labels):
    true, step, event = labels
    whole = table(true, step, event)
    first, second = whole[whole["subject_id"] < "s0200"], whole[whole["subject_id"] >= "s0100"]
    found = compare({"first": first, "second": second}, BOOTSTRAP)
    assert found.subjects == 100
    assert "the test sets differ" in found.notes[0]


def test_runs_that_answer_other_questions_are_refused(labels):
    true, step, event = labels
    other = event.copy()
    other[:7] = ~other[:7]
    with pytest.raises(OutcomeError, match="the labels of 7 of 300 shared subjects differ between a and b"):
        compare({"a": table(true, step, event), "b": table(true, step, other)}, BOOTSTRAP)
    landmark = table(true, step, event)
    landmark.attrs["clock"] = "landmark"
    with pytest.raises(OutcomeError, match="have the same clock"):
        compare({"a": table(true, step, event), "b": landmark}, BOOTSTRAP)
    tuned = table(true, step, event).assign(split="val")
    tuned.attrs["clock"] = "visit"
    with pytest.raises(OutcomeError, match=r"must be of the same split to be compared; found .*'b': 'val'"):
        compare({"a": table(true, step, event), "b": tuned}, BOOTSTRAP)
    names = np.array([f"t{n:04d}" for n in range(300)])
    with pytest.raises(CohortError, match="none in common"):
        compare({"a": table(true, step, event), "b": table(true, step, event, names)}, BOOTSTRAP)
