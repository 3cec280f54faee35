"""Runs below a folder as one table: sorted, filtered, with sentences for what is not known."""

import logging
import math

import pytest

from survlstm.sweeps.listing import COLUMNS, format_listing, list_runs
from survlstm.utils.errors import ConfigError
from survlstm.utils.formatting import MISSING
from tests.sweeps import sample


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """Three runs of different days and one that failed at once; only read."""
    folder = tmp_path_factory.mktemp("outputs")
    runs = [
        ("2026-11-20/10-00", ["data=cohort_106", "model.hidden_dim=64"], (2.4, 0.75), (0.80, 2.2)),
        ("2026-11-21/10-00", ["data=cohort_1000"], (2.2, 0.80), (0.70, 2.4)),
        ("2026-11-22/10-00/0", ["optimizer.lr=0.01"], (2.3, 0.78), (0.75, 2.3)),
    ]
    for name, overrides, val, test in runs:
        sample.write_run(folder / name, overrides, val=val, test=test, started=f"{name[:10]}T10:00:00+00:00")
    sample.write_unfinished(folder / "2026-11-22/10-00/1", ["optimizer.lr=9"], "failed", "E", epochs=0)
    return folder


def names(table):
    return [name.removeprefix("2026-11-") for name in table["run"]]


def test_the_newest_come_first(outputs):
    table = list_runs(outputs)
    assert names(table) == ["22/10-00/1", "22/10-00/0", "21/10-00", "20/10-00"]
    assert tuple(table.columns) == (*COLUMNS, "test.c_td.low", "test.c_td.high")


def test_key_figures(outputs):
    line = list_runs(outputs).iloc[2]
    assert (line["state"], line["data"], line["outcome"]) == (
        "finished",
        "cohort_1000",
        "synthetic (drawn by a formula)",
    )
    assert line["model"] == "128-256x2 (1.1M)"
    assert [line[name] for name in ("val.nll", "val.c_td", "test.c_td", "test.nll")] == [2.2, 0.8, 0.7, 2.4]
    assert (line["test.c_td.low"], line["epochs"], line["cost"]) == (pytest.approx(0.65), 3, 0.25)


@pytest.mark.parametrize(
    ("column", "order"),
    [
        ("test.c_td", ["20/10-00", "22/10-00/0", "21/10-00", "22/10-00/1"]),
        ("test.nll", ["20/10-00", "22/10-00/0", "21/10-00", "22/10-00/1"]),
        ("val.nll", ["21/10-00", "22/10-00/0", "20/10-00", "22/10-00/1"]),
        ("val.c_td", ["21/10-00", "22/10-00/0", "20/10-00", "22/10-00/1"]),
        ("run", ["20/10-00", "21/10-00", "22/10-00/0", "22/10-00/1"]),
        ("state", ["22/10-00/1", "22/10-00/0", "21/10-00", "20/10-00"]),
    ],
)
def test_sorted_by_any_column_the_better_first_and_the_missing_last(outputs, column, order):
    assert names(list_runs(outputs, sort=column)) == order


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        (("data=cohort_1000",), ["21/10-00"]),
        (("model.hidden_dim=64",), ["20/10-00"]),
        (("hidden_dim=64",), ["20/10-00"]),
        (("hidden_dim=64.0",), ["20/10-00"]),
        (("lr=1e-3",), ["21/10-00", "20/10-00"]),
        (("lr=0.01", "dropout=0.3"), ["22/10-00/0"]),
        (("lr=9",), ["22/10-00/1"]),
        (("outcome._target_=Synthetic",), ["22/10-00/0", "21/10-00", "20/10-00"]),
        (("landmarks.visits=[2, 5, 10]",), ["22/10-00/0", "21/10-00", "20/10-00"]),
        (("data.path=null", "state=failed"), []),
        (("state=failed",), ["22/10-00/1"]),
        (("hidden_dim=65",), []),
    ],
)
def test_filtered_by_settings(outputs, where, kept):
    assert names(list_runs(outputs, where=where)) == kept


def test_what_the_filter_leaves_out_is_counted(outputs, caplog):
    with caplog.at_level(logging.INFO, logger="survlstm"):
        list_runs(outputs, where=("lr=0.001", "hidden_dim=64"))
    assert caplog.messages == [
        "where lr=0.001: 2 of 4",
        "where hidden_dim=64: 1 of 2",
        f"Runs below {outputs}: 4; left out: 3",
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"sort": "test.ctd"}, r"sort must be one of run, state, .*; found 'test.ctd'; the nearest is test.c_td"),
        (
            {"where": ("model.hiden_dim=64",)},
            r"names model.hiden_dim, a key that none of 4 runs has; the nearest is model.hid",
        ),
        ({"where": ("data",)}, r"where must read key=value; found 'data'"),
        ({"where": ("=x",)}, r"where must read key=value; found '=x'"),
    ],
)
def test_what_is_not_known_is_a_sentence(outputs, arguments, sentence):
    with pytest.raises(ConfigError, match=sentence):
        list_runs(outputs, **arguments)


def test_a_missing_folder_is_a_sentence(tmp_path):
    with pytest.raises(ConfigError, match=r"found no folder .*nowhere"):
        list_runs(tmp_path / "nowhere")


def test_an_empty_folder_is_an_empty_table(tmp_path):
    table = list_runs(tmp_path, sort="val.nll", where=("a=1",))
    assert table.empty
    assert list(format_listing(table).columns)[-2:] == ["cost", "started"]


def test_shown_with_intervals_and_dashes(outputs):
    shown = format_listing(list_runs(outputs))
    assert list(shown.loc[2, ["test.c_td", "test.nll", "epochs", "time", "cost", "started"]]) == [
        "0.700 (0.650 to 0.750)",
        "2.400",
        "3",
        "1 min 30 s",
        "$0.25",
        "2026-11-21 10:00",
    ]
    assert list(shown.loc[0, ["data", "model", "val.nll", "test.c_td", "epochs", "time", "cost"]]) == [MISSING] * 7


def test_broken_runs_are_listed(tmp_path):
    sample.write_run(tmp_path / "0")
    for name in ("manifest.json", "metrics.json", "history.json", "config.yaml"):
        (tmp_path / "0" / name).write_text("{", encoding="utf-8")
    (line,) = list_runs(tmp_path).to_dict("records")
    assert line["state"] == "finished"
    assert math.isnan(line["val.nll"]) if line["val.nll"] is not None else True
    assert set(format_listing(list_runs(tmp_path)).loc[0, ["data", "model", "started"]]) == {MISSING}
