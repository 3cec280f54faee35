"""A folder of Synthea's CSV export → what each code means, in the export's own words."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from survlstm.data.sources.csv_header import Field
from survlstm.data.sources.csv_table import CsvStream, CsvTable
from survlstm.data.sources.synthea import SyntheaSource
from survlstm.data.sources.synthea_format import EVENT_TABLES, PATIENTS, EventTable
from survlstm.data.sources.synthea_rows import number_codes
from survlstm.utils.content import is_words

_DESCRIPTION = Field("description", ("DESCRIPTION",), required=False, free_text=True)
# The longest of SNOMED's own terms has 255 characters.
_LONGEST = 255


def read_descriptions(path: Path, tables: Sequence[str]) -> dict[str, str]:
    """The DESCRIPTION of every code in ``tables``, by the code's name in the vocabulary (``SNOMED/44054006``).

    Of several texts for a code the most frequent one is taken, of equally frequent ones the first in the alphabet, and
    none where it has less than half of the rows, or one of two: texts that differ from row to row are about the
    patients and not about the code, and bundles and pages show descriptions. Texts that are too long, dates, numbers or
    UUIDs are not taken either. Codes without a text are absent, as are tables without the column. Raises SourceError as
    reading the export does.
    """
    texts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for name, files in SyntheaSource(str(path), tables, 1.0).files_by_table().items():
        if name == PATIENTS:
            continue
        fields = [field for field in EVENT_TABLES[name].fields if field.name in ("code", "system")]
        stream = CsvStream(files, [*fields, _DESCRIPTION])
        if "description" not in stream.names:
            continue
        for table in stream.tables():
            for code, text, rows in _counted(table, EVENT_TABLES[name]):
                texts[code][text] += rows
    chosen = ((code, _chosen(counts)) for code, counts in sorted(texts.items()))
    return {code: text for code, text in chosen if text is not None}


def _chosen(counts: Counter[str]) -> str | None:
    text = min(counts, key=lambda text: (-counts[text], text))
    return text if 2 * counts[text] >= counts.total() and (counts[text] > 1 or len(counts) == 1) else None


def _counted(table: CsvTable, kind: EventTable) -> Iterator[tuple[str, str, int]]:
    """Every pair of code name and text that stands in a row, and in how many rows."""
    code, names, _ = number_codes(table, kind, slice(None))
    texts = table.columns["description"]
    values = [text.strip() for text in texts.values.to_pylist()]
    pairs, rows = np.unique(code * np.int64(len(values)) + texts.index, return_counts=True)
    for pair, count in zip(pairs.tolist(), rows.tolist(), strict=True):
        name, text = str(names[pair // len(values)]), values[pair % len(values)]
        if len(text) <= _LONGEST and is_words(text) and not name.endswith("/"):
            yield name, text, count
