"""Durations and costs as logs and tables show them."""

import pytest

from survlstm.utils.formatting import MISSING, format_dollars, format_duration

DURATIONS = [
    (None, MISSING),
    (0.0, "0.0 s"),
    (4.24, "4.2 s"),
    (9.94, "9.9 s"),
    (9.95, "10 s"),
    (59.4, "59 s"),
    (59.6, "1 min 00 s"),
    (200.0, "3 min 20 s"),
    (3599.4, "59 min 59 s"),
    (3599.6, "1 h 00 min"),
    (7500.0, "2 h 05 min"),
    (360000.0, "100 h 00 min"),
]


@pytest.mark.parametrize(("seconds", "text"), DURATIONS)
def test_durations(seconds, text):
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("cost", "text"),
    [
        (None, MISSING),
        (0.0, "$0.00"),
        (1234.567, "$1,234.57"),
        (12.3, "$12.30"),
        (0.1, "$0.10"),
        (0.0123, "$0.012"),
        (0.0016, "$0.002"),
        (0.00021, "$0.00021"),
        (1.23e-7, "$0.00000012"),
    ],
)
def test_costs(cost, text):
    assert format_dollars(cost) == text
