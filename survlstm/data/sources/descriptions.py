"""Read the descriptions of the codes in a Synthea CSV export."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from survlstm.data.sources.csv_header import Field
from survlstm.data.sources.csv_table import CsvStream, CsvTable
from survlstm.data.sources.protocol import Source
from survlstm.data.sources.synthea import SyntheaSource
from survlstm.data.sources.synthea_format import EVENT_TABLES, PATIENTS, EventTable
from survlstm.data.sources.synthea_rows import number_codes
from survlstm.utils.content import is_words

_DESCRIPTION = Field("description", ("DESCRIPTION",), required=False, free_text=True)
# The longest of SNOMED's own terms has 255 characters.
LONGEST = 255


def read_descriptions(path: Path, tables: Sequence[str]) -> dict[str, str]:
    """Choose a description for every code.

    Of several texts for a code the most frequent one is chosen, and of equally frequent ones the first in alphabetical
    order. It must stand in at least half of the code's rows that have a text, and in more than one row if there are
    other texts. Texts that differ from row to row describe the patients and not the code, and bundles and pages show
    descriptions. A text that is longer than 255 characters, a date, a number or a UUID is never chosen.

    Args:
        path: Folder of the export.
        tables: Event tables to read; those that the export lacks, or that have no column DESCRIPTION, are ignored.

    Returns:
        Description by the code's name in the vocabulary, such as ``SNOMED/44054006``; codes without one are absent.

    Raises:
        SourceError: The export can't be read.

    Example:
        >>> read_descriptions(Path("export"), ["conditions"])["SNOMED/44054006"]
        'Diabetes mellitus type 2 (disorder)'
    """
    rows_by_text: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for name, files in SyntheaSource(str(path), tables, 1.0).files_by_table().items():
        if name == PATIENTS:
            continue
        fields = [field for field in EVENT_TABLES[name].fields if field.name in ("code", "system")]
        stream = CsvStream(files, [*fields, _DESCRIPTION])
        if "description" not in stream.names:
            continue
        for table in stream.tables():
            for code, text, rows in _count_texts(table, EVENT_TABLES[name]):
                rows_by_text[code][text] += rows
    chosen = ((code, _choose(counts)) for code, counts in sorted(rows_by_text.items()))
    return {code: text for code, text in chosen if text is not None}


def descriptions_of(source: Source) -> dict[str, str]:
    """Return the descriptions of a source's codes.

    Args:
        source: The source.

    Returns:
        Description by code; codes without one are absent. Empty for a source that has no descriptions.

    Raises:
        SourceError: The records can't be read.
    """
    if isinstance(source, SyntheaSource):
        return read_descriptions(Path(source.path).expanduser(), source.tables)
    describe = getattr(source, "descriptions", None)
    return {} if describe is None else {str(code): str(text) for code, text in describe().items()}


def _choose(counts: Counter[str]) -> str | None:
    """Choose one of a code's texts by the number of rows of each; None if no text is frequent enough."""
    text = min(counts, key=lambda text: (-counts[text], text))
    return text if 2 * counts[text] >= counts.total() and (counts[text] > 1 or len(counts) == 1) else None


def _count_texts(table: CsvTable, event_table: EventTable) -> Iterator[tuple[str, str, int]]:
    """Yield every pair of code name and acceptable text that occurs, and its number of rows."""
    code, names, _ = number_codes(table, event_table, slice(None))
    texts = table.columns["description"]
    values = [text.strip() for text in texts.values.to_pylist()]
    # One integer for each pair of code and text, so that pairs are counted without looking at strings.
    pairs, rows = np.unique(code * np.int64(len(values)) + texts.index, return_counts=True)
    for pair, count in zip(pairs.tolist(), rows.tolist(), strict=True):
        name, text = str(names[pair // len(values)]), values[pair % len(values)]
        if len(text) <= LONGEST and is_words(text) and not name.endswith("/"):
            yield name, text, count
