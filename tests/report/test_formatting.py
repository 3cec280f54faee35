"""Digits as the page writes them."""

import pytest

from survlstm.evaluation.results import Estimate, Interval
from survlstm.report import formatting

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "\N{EN DASH}"),
        (NAN, "\N{EN DASH}"),
        (INF, "∞"),
        (-INF, "\N{MINUS SIGN}∞"),
        (0.0, "0.000"),
        (-0.0004, "0.000"),
        (-0.0006, "\N{MINUS SIGN}0.001"),
        (1234.5678, "1,234.568"),
    ],
)
def test_number(value, written):
    assert formatting.format_number(value) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.0, "0"), (365.0, "365"), (17.5, "17.5"), (1095.0, "1,095"), (5e-4, "0.0005"), (3e-6, "3e\N{MINUS SIGN}06")],
)
def test_short(value, written):
    assert formatting.format_short(value) == written


@pytest.mark.parametrize(("value", "written"), [(None, "\N{EN DASH}"), (0.0004, "< 0.001"), (0.0312, "0.031")])
def test_p_value(value, written):
    assert formatting.format_p_value(value) == written


def test_estimates_differences_and_times():
    assert formatting.format_estimate(None) == "\N{EN DASH}"
    assert formatting.format_estimate(Estimate(0.5)) == "0.500"
    assert formatting.format_estimate(Estimate(0.5, Interval(-0.1, 0.6))) == "0.500 (\N{MINUS SIGN}0.100 to 0.600)"
    assert formatting.format_signed(0.02) == "+0.020"
    assert formatting.format_signed(0.0001) == "0.000"
    assert formatting.format_signed(-0.02) == "\N{MINUS SIGN}0.020"
    assert formatting.format_signed(float("nan")) == formatting.format_signed(None) == "\N{EN DASH}"
    assert formatting.format_count(1, "event") == "1 event"
    assert formatting.format_count(1200, "event") == "1,200 events"
    assert formatting.format_time(1.0, "steps") == "1 step"
    assert formatting.format_times((1.0, 3.0, 5.0), "steps") == "1, 3 and 5 steps"
    assert formatting.format_times((365.0,), "days") == "365 days"
    assert formatting.format_since("landmark") == "from the landmark"
