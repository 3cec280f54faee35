"""The first line of an error's message."""

import pytest

from survlstm.utils.errors import first_line


class Chained(Exception):
    pass


def caused_by(cause):
    error = Chained("")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "line", "with_type"),
    [
        (ValueError("no"), "no", "ValueError: no"),
        (ValueError("\n  no \nand pages of advice"), "no", "ValueError: no"),
        (ValueError(), "ValueError", "ValueError"),
        (ValueError(" \n"), "ValueError", "ValueError"),
        (caused_by(KeyError("key")), "'key'", "Chained: 'key'"),
        (caused_by(TypeError()), "TypeError", "Chained: TypeError"),
    ],
)
def test_the_first_line_that_says_something(error, line, with_type):
    assert first_line(error) == line
    assert first_line(error, with_type=True) == with_type


def test_of_a_long_line_the_beginning_and_the_end_are_kept():
    error = ValueError("a" * 200 + "b" * 200)
    assert first_line(error, at_most=400) == "a" * 200 + "b" * 200
    assert first_line(error, at_most=300) == "a" * 148 + " … " + "b" * 148
