"""Values as JSON holds them, and the tables that the log shows."""

import dataclasses
import json

import numpy as np
import pytest

from survlstm.evaluation.results import Difference, Estimate, Finding, Interval, StepRow
from survlstm.report.console_summary import count_findings, group_table, landmark_table, step_table, to_json
from tests.report import sample


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Finding("c", "ok", "f", "e", ("a=1",)), ["check", "level", "finding", "evidence", "advice"]),
        (Interval(0.1, 0.2), {"low": 0.1, "high": 0.2}),
        (Estimate(0.5, Interval(0.1, 0.2)), {"value": 0.5, "interval": {"low": 0.1, "high": 0.2}}),
        ((1, Interval(0.1, 0.2)), [1, {"low": 0.1, "high": 0.2}]),
        ({"a": np.array([[1, 2], [3, 4]])}, {"a": [[1, 2], [3, 4]]}),
        ([np.array([True, False])], [[True, False]]),
        (np.float32(0.5), 0.5),
        (np.int64(7), 7),
        (np.True_, True),
        (None, None),
        ("text", "text"),
    ],
)
def test_plain_values(value, expected):
    found = to_json(value)
    assert (list(found) if isinstance(value, Finding) else found) == expected
    json.dumps(found)


def test_a_dataclass_is_plain_all_the_way_down():
    row = StepRow(
        "model", "model", Estimate(0.7), Estimate(1.5, Interval(1, 2)), None, Difference(0.1, Interval(0, 1), 0.2)
    )
    assert to_json(row) == {
        "name": "model",
        "role": "model",
        "c_td": {"value": 0.7, "interval": None},
        "nll": {"value": 1.5, "interval": {"low": 1, "high": 2}},
        "c_td_difference": None,
        "nll_difference": {"value": 0.1, "interval": {"low": 0, "high": 1}, "p": 0.2},
    }
    json.dumps(to_json(sample.landmark_verdict()), allow_nan=True)


def test_the_step_table_has_a_line_for_each_comparator():
    table = step_table(sample.visit_verdict())
    assert list(table.columns) == [
        "",
        "C-index",
        "difference (model \N{MINUS SIGN} comparator)",
        "nll",
        "difference (comparator \N{MINUS SIGN} model)",
    ]
    assert table.iloc[0].tolist() == ["model", "0.7320 (0.684 to 0.780)", "-", "1.8710 (1.711 to 2.031)", "-"]
    # Lower is better: the nll of the model minus that of the row is -0.230, so the difference in its favour is 0.230.
    assert table.iloc[2].tolist() == [
        "number of visits so far",
        "0.6140 (0.559 to 0.669)",
        "+0.118 (+0.068 to +0.168)",
        "2.1010 (1.931 to 2.271)",
        "+0.230 (+0.180 to +0.280)",
    ]
    # No interval, no difference.
    assert table.iloc[4].tolist()[1:3] == ["0.5000", "-"]


def test_the_step_table_of_a_split_without_an_event():
    assert step_table(sample.bare_verdict())["C-index"].tolist() == ["nan", "nan"]
    assert step_table(sample.bare_verdict())["nll"].tolist() == ["0.2100", "inf"]


def test_the_landmark_table_shows_the_longest_horizon():
    table = landmark_table(sample.landmark("visit 3", (1, 5, 10)))
    assert list(table.columns) == ["", "C at 10", "AUC at 10", "Brier at 10", "ibs", "D-calibration p"]
    assert table[""].tolist() == ["model", "oracle", "covariate-free"]
    assert table.iloc[0].tolist()[1:] == [
        "0.690 (0.640 to 0.740)",
        "0.700 (0.650 to 0.750)",
        "0.170 (0.150 to 0.190)",
        "0.151 (0.131 to 0.171)",
        "0.213",
    ]
    assert table.iloc[2]["C at 10"] == "0.500"


def test_a_figure_that_cannot_be_computed_is_a_dash():
    landmark = sample.landmark("visit 3", (1, 5))
    (model, *_), nothing = landmark.rows, {"c_harrell": None, "auc": None, "brier": None}
    cells = (model.cells[0], dataclasses.replace(model.cells[1], **nothing))
    bare = dataclasses.replace(landmark, rows=(dataclasses.replace(model, cells=cells, ibs=None),))
    assert landmark_table(bare).iloc[0].tolist() == ["model", "-", "-", "-", "-", "0.213"]


def test_findings_are_counted_by_level():
    assert count_findings(sample.FINDINGS) == "1 failure, 1 warning, 1 note, 2 ok"
    assert count_findings(()) == "0 failure, 0 warning, 0 note, 0 ok"


def test_the_table_of_groups_has_a_dash_for_what_is_not_shown():
    table = group_table(sample.groups())
    assert table["group"].tolist()[-1] == "fewer than 10 subjects"
    assert table.iloc[0].tolist() == ["sex", "F", 90, 41, "0.741 (0.670 to 0.810)", "0.412", "0.431 (0.330 to 0.550)"]
    assert table.iloc[-1].tolist() == ["race", "fewer than 10 subjects", 7, "-", "-", "-", "-"]
