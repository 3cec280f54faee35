"""Test that no message, warning or traceback quotes a cell of an export, whatever is wrong with it."""

from __future__ import annotations

import logging
import traceback
from collections import Counter

import pytest

from survlstm.data.sources.descriptions import read_descriptions
from survlstm.data.sources.shards import merge_counts, split_into_shards
from survlstm.data.sources.synthea import SyntheaSource
from survlstm.data.sources.synthea_format import EVENT_TABLES
from survlstm.utils.errors import SourceError
from tests.sentinels import BREAKS, TABLES, leaked, plant, planted_table

ALL = tuple(EVENT_TABLES)
# The table of patients, that of encounters, one that names encounters, and one with values.
FEW = ("patients", "encounters", "conditions", "observations")
# Breaks that leave a table readable, or that can't be detected.
READ = {"sound", "semicolons", "capitals", "description and encounter swapped"}


def refusal_of(job, messages):
    """Run a job; return its SourceError or None, and append its result or traceback to ``messages``."""
    try:
        messages.append(str(job()))
    except SourceError as error:
        messages += traceback.format_exception(error)
        return error
    return None


def split_and_read(folder, into):
    with split_into_shards(folder, tables=ALL, subjects_at_once=2, into=into) as cut:
        readings = [SyntheaSource(str(part), ALL, 1.0).read() for part in cut.folders]
    return merge_counts([cut.malformed, *(reading.tables for reading in readings)])


def counts_and_warnings(source):
    reading = source.read()
    return reading.tables, reading.warnings


def described(folder):
    return read_descriptions(folder, ALL).items()


def check(folder, how, tables, caplog, *, limits, split):
    """Break each table in turn, and return how often reading was refused, by limit."""
    caplog.set_level(logging.DEBUG)
    refused = Counter()
    for table in tables:
        there = folder / table
        cells = plant(there, tables=tables)
        BREAKS[how](there / f"{table}.csv", planted_table(table, rows=6))
        messages: list[str] = []
        for limit in limits:
            source = SyntheaSource(str(there), ALL, limit)
            refused[limit] += refusal_of(lambda source=source: counts_and_warnings(source), messages) is not None
        if split:
            refusal_of(lambda there=there: split_and_read(there, folder / "parts"), messages)
        # Bundles and pages show descriptions, but only of codes that are frequent enough for the vocabulary.
        refusal_of(lambda there=there: [text for code, text in described(there) if "/7391" in code], messages)
        assert leaked("".join(messages) + caplog.text, cells) == [], table
        caplog.clear()
    return refused


@pytest.mark.parametrize("how", BREAKS)
def test_no_cell_is_quoted_whatever_is_broken(tmp_path, caplog, how):
    refused = check(tmp_path, how, FEW, caplog, limits=(0.0,), split=False)
    assert (refused[0.0] > 0) == (how not in READ)


@pytest.mark.slow
@pytest.mark.parametrize("how", BREAKS)
def test_no_cell_is_quoted_whatever_is_broken_in_any_table(tmp_path, caplog, how):
    refused = check(tmp_path, how, TABLES, caplog, limits=(0.0, 1.0), split=True)
    assert refused[1.0] <= refused[0.0]


def test_the_helper_sees_a_leak(tmp_path):
    cells = plant(tmp_path)
    assert {cell for table in TABLES for cell in leaked((tmp_path / f"{table}.csv").read_text(), cells)} == cells
