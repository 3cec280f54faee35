"""Columns of every Arrow type give the same numbers, times and texts."""

import datetime

import numpy as np
import pyarrow as pa
import pytest

from survlstm.data.sources.omop.columns import moments, real_numbers, texts, whole_numbers


@pytest.mark.parametrize(
    "column",
    [
        pa.array([7, None, -2]),
        pa.array([7, None, -2], pa.int8()),
        pa.array([7.0, None, -2.0]),
        pa.array(["7", "", "-2.0"]),
        pa.array([" 7 ", "NULL", "-2."], pa.large_string()),
        pa.array(["7", None, "-2"]).dictionary_encode(),
        pa.array([7, None, -2], pa.float64()).cast(pa.decimal128(18, 3)),
    ],
    ids=lambda column: str(column.type),
)
def test_whole_numbers_of_every_type(column):
    numbers = whole_numbers(column)
    assert numbers.value.tolist() == [7, 0, -2]
    assert numbers.missing.tolist() == [False, True, False]
    assert not numbers.bad.any()


def test_what_is_no_whole_number_is_bad():
    for column in (pa.array([1.5, 1e300]), pa.array(["x", "1,5"]), pa.array([2**64 - 1, 2**63], pa.uint64())):
        assert whole_numbers(column).bad.tolist() == [True, True]
    assert whole_numbers(pa.nulls(2)).missing.all()


def test_values_and_texts_of_every_type():
    decimals = pa.array(["48.100", None, "0.000"]).cast(pa.decimal128(18, 3))
    for column in (decimals, pa.array([48.1, None, 0.0]), pa.array(["48.1", "", "0"])):
        value, bad = real_numbers(column)
        assert np.nan_to_num(value, nan=-1).tolist() == [48.1, -1, 0]
        assert not bad.any()
    for column in (pa.array([np.inf, -np.inf, 7.0]), pa.array(["inf", "-Infinity", "7"])):
        value, bad = real_numbers(column)
        assert (value.tolist(), bad.any()) == ([np.inf, -np.inf, 7.0], False)
    assert texts(pa.array([123.0, None])).to_pylist() == ["123", ""]
    assert texts(pa.array([123, None])).to_pylist() == ["123", ""]
    assert texts(pa.array([b"x", None])).to_pylist() == ["(not a text)", ""]


def test_times_of_every_type():
    before_1970 = ["1969-12-31T23:59:59", "NaT", "2001-01-01T00:00:00"]
    moment = pa.array(["1969-12-31T23:59:59.5", None, "2001-01-01T00:00:00"])
    for unit in ("ms", "us", "ns"):
        assert moments(moment.cast(pa.timestamp(unit))).time.astype(str).tolist() == before_1970
        assert (
            moments(moment.cast(pa.timestamp(unit)).cast(pa.timestamp(unit, "UTC"))).time.astype(str).tolist()
            == before_1970
        )
    assert moments(moment).time.astype(str).tolist() == before_1970
    days = pa.array(["1969-12-31", None, "2001-01-01"])
    for kind in (pa.date32(), pa.date64(), pa.string()):
        assert moments(days.cast(kind)).time.astype("datetime64[D]").astype(str).tolist() == [
            "1969-12-31",
            "NaT",
            "2001-01-01",
        ]
    assert moments(pa.array(["2001-01-01 05:00:00+02"])).time.astype(str).tolist() == ["2001-01-01T03:00:00"]
    assert moments(pa.array([20010101])).unparsable.all()
    assert moments(pa.array([datetime.date(9999, 1, 1)])).impossible.all()
