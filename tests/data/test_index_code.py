"""A landmark at the first visit with an index code."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from survlstm.data.prepare import prepare_uncached
from tests.cohorts import HIT, LANDMARK, at, edges_given, excluded, record
from tests.records import SETTINGS, RecordsSource, events_of

INDEX = replace(LANDMARK, day=None, first_code=("X/index", "X/other"))


def test_a_landmark_at_the_first_visit_with_an_index_code():
    records = {
        "index": [*record(0, 50, 200), (at(100), "i", ["X/index"]), (at(150), "j", ["X/other"])],
        "twice": [*record(0, 200, hit=300), (at(40), "i", ["X/other", "X/a"]), (at(60), "i2", ["X/index"])],
        "without": record(0, 50, 200),
        "index after the outcome": [*record(0, 50, hit=60), (at(100), "i", ["X/index"])],
        "index with the outcome": [*record(0, 50), (at(100), "i", ["X/index", "X/hit"])],
        "index at the first visit": [*record(10, 200), (at(0), "i", ["X/index"])],
        "index at the end": [*record(0, 50), (at(100), "i", ["X/index"])],
    }
    settings = replace(SETTINGS, landmark=INDEX, min_visits=2)
    prepared = prepare_uncached(RecordsSource(events_of(records)), HIT, settings, preprocessing=edges_given())
    tensors = prepared.tensors
    assert dict(zip(tensors.subject_id.tolist(), tensors.duration_days.tolist(), strict=True)) == {
        "index": 100,
        "twice": 260,
    }
    assert tensors.visits_per_subject.tolist() == [3, 2]
    assert excluded(prepared) == [
        # The index code of the third is known with the outcome only, so that it is no part of the history.
        ("no index code (clock.first_code) before the outcome", 3, 2),
        ("event or end of follow-up at or before the landmark", 1, 0),
        ("fewer than 2 visits on or before the landmark", 1, 0),
    ]


@pytest.mark.parametrize("grouping", ["hybrid", "encounter", "same_day", "time_window"])
def test_nothing_after_an_index_visit_changes_its_history(grouping):
    """No visit spans the landmark: entries after it in an encounter that began before it are not read."""

    # The window of an index visit ends after a day; the landmark is the end of the visit.
    def late(hours):
        return at(31, hour=(8 if grouping == "time_window" else 4) + hours)

    stay = [(at(30), "stay", ["X/a"]), (at(30, hour=9), "index", ["X/index"])]
    records = {"a": [*record(0, 10, 90), *stay]}
    grown = {"a": [*records["a"], (late(1), "stay", ["X/b"]), (late(2), None, ["X/b"])]}
    settings = replace(SETTINGS, landmark=INDEX, min_visits=1, grouping=grouping)
    codes_read = []
    for kept in (records, grown):
        prepared = prepare_uncached(
            RecordsSource(events_of(kept | {"b": record(0, 5, hit=9)})),
            HIT,
            settings,
            preprocessing=edges_given(("X/a", "X/b", "X/index")),
        )
        assert prepared.tensors.subject_id.tolist() == ["a"]
        codes_read.append(prepared.tensors.code.tolist())
        assert prepared.tensors.visit_time.max() == np.datetime64(at(30, hour=9))
    assert codes_read[0] == codes_read[1]
