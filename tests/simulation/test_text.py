"""Text columns: days, times, the format of identifiers, and blanks."""

from __future__ import annotations

import numpy as np

from survlstm.simulation import text


def test_days_are_written_as_dates() -> None:
    day = np.array(["1899-12-31", "1969-12-31", "1970-01-01", "2024-02-29"], "datetime64[D]").astype(np.int64)
    assert text.days(day).to_pylist() == ["1899-12-31", "1969-12-31", "1970-01-01", "2024-02-29"]


def test_times_are_written_to_the_second() -> None:
    written = ["1913-05-01T23:59:59Z", "1969-12-31T00:00:00Z", "2014-05-26T03:53:50Z"]
    seconds = np.array([time.removesuffix("Z") for time in written], "datetime64[s]").astype(np.int64)
    assert text.times(seconds).to_pylist() == written


def test_identifiers_are_drawn_from_the_generator() -> None:
    drawn = text.uuids(np.random.default_rng(1), 1000).to_pylist()
    assert drawn == text.uuids(np.random.default_rng(1), 1000).to_pylist()
    assert len(set(drawn)) == 1000
    assert {tuple(len(part) for part in one.split("-")) for one in drawn} == {(8, 4, 4, 4, 12)}


def test_a_blank_is_missing() -> None:
    column = text.blank_where(np.array([True, False]), text.days(np.array([0, 1])))
    assert column.to_pylist() == [None, "1970-01-02"]
