"""Name OMOP concepts, and look up their descriptions and what is below them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int64

from survlstm.data.sources.omop.backend import Backend
from survlstm.data.sources.omop.columns import texts, whole_numbers
from survlstm.data.sources.omop.format import ANCESTOR, ANCESTOR_COLUMNS, CONCEPT, CONCEPT_COLUMNS
from survlstm.data.sources.row_checks import is_not_a_code
from survlstm.utils.errors import SourceError

# A source value may be a text that somebody typed. Only one word of letters, digits and marks, with a digit or all in
# capitals, is taken for a code.
_CODE = re.compile(r"(?=.*\d|[^a-z]*$)[A-Za-z0-9][A-Za-z0-9.:_+/-]{0,31}")
# The rule for codes would leave out "mg/dL". A unit is one word with a letter or a percent sign; it has no long number,
# which may be an id, and is not a capital with small letters, which may be a name, except for those of temperatures.
_UNIT = re.compile(
    r"(?=.*[A-Za-z%\u00b0\u00b5\u03bc\u03a9])(?!.*\d{6})(?!(?!Celsius|Fahrenheit|Kelvin)[A-Z][a-z]{3,}$)"
    r"[A-Za-z0-9%/.*^+#'(){}\[\]:,_\u00b0\u00b2\u00b3\u00b5\u03bc\u03a9-]{1,32}"
)
_DAY = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}.*")
NO_CONCEPT_PREFIX = "OMOP/"


class Concept(NamedTuple):
    """A concept of the vocabulary.

    Attributes:
        code: Name of its code, such as ``SNOMED/44054006``.
        name: Its description.
    """

    code: str
    name: str

    @property
    def bare_code(self) -> str:
        """The code without its vocabulary, such as ``mg/dL``."""
        return self.code.partition("/")[2]


class Concepts:
    """The concepts that were looked up, by their id.

    Each id is looked up once, so that the parts of a source read the table of concepts only once.
    """

    def __init__(self) -> None:
        self._known: dict[int, Concept | None] = {}

    def look_up(self, backend: Backend, ids: Iterable[int]) -> dict[int, Concept]:
        """Return the concepts of these ids that the table of concepts has.

        Args:
            backend: The open place of the tables.
            ids: Concept ids.

        Raises:
            SourceError: The table of concepts can't be read, or lacks a column.
        """
        asked = set(ids)
        new = np.array(sorted(asked - self._known.keys()), dtype=np.int64)
        if len(new):
            self._known |= dict.fromkeys(new.tolist())
            for batch in _stream_concepts(backend):
                number = whole_numbers(batch.column("concept_id"))
                rows = np.flatnonzero(np.isin(number.value, new) & ~number.missing & ~number.bad)
                self._add(batch.take(pa.array(rows)), number.value[rows])
        return {number: found for number in asked if (found := self._known[number]) is not None}

    def _add(self, batch: pa.RecordBatch, ids: Int64[np.ndarray, " row"]) -> None:
        words = [texts(batch.column(name)).to_pylist() for name in CONCEPT_COLUMNS[1:]]
        for number, vocabulary, code, name in zip(ids.tolist(), *words, strict=True):
            concept = Concept(f"{vocabulary}/{code}", name)
            before = self._known[number]
            # The order of rows must not matter where an id is there twice.
            if vocabulary and code and (before is None or concept < before):
                self._known[number] = concept


def concept_ids_of(backend: Backend, codes: Collection[str]) -> dict[str, set[int]]:
    """Return the concept ids of codes.

    Args:
        backend: The open place of the tables.
        codes: Codes as in ``Events.codes``; ``OMOP/123`` is the concept 123.

    Returns:
        The ids of each code; a code without one is absent.

    Raises:
        SourceError: The table of concepts can't be read.
    """
    found: dict[str, set[int]] = {
        code: {int(code.removeprefix(NO_CONCEPT_PREFIX))}
        for code in codes
        if code.startswith(NO_CONCEPT_PREFIX) and code.removeprefix(NO_CONCEPT_PREFIX).isdigit()
    }
    wanted = pa.array(sorted({code.partition("/")[2] for code in codes}), pa.string())
    for batch in _stream_concepts(backend):
        code_texts = texts(batch.column("concept_code"))
        rows = pa.array(np.flatnonzero(pc.is_in(code_texts, value_set=wanted).to_numpy(zero_copy_only=False)))
        chosen = batch.take(rows)
        ids = whole_numbers(chosen.column("concept_id")).value.tolist()
        vocabularies = texts(chosen.column("vocabulary_id")).to_pylist()
        for number, vocabulary, code in zip(ids, vocabularies, code_texts.take(rows).to_pylist(), strict=True):
            if f"{vocabulary}/{code}" in codes:
                found.setdefault(f"{vocabulary}/{code}", set()).add(number)
    return found


def descendants_of(backend: Backend, ids: Collection[int]) -> set[int]:
    """Return the concepts below some concepts, and these.

    Args:
        backend: The open place of the tables.
        ids: Concept ids.

    Raises:
        SourceError: The table of ancestors is missing, empty or can't be read.
    """
    columns = backend.columns(ANCESTOR)
    advice = "Load the vocabulary from Athena, or list the codes themselves"
    if columns is None or not set(ANCESTOR_COLUMNS).issubset(columns):
        state = "there is no such table" if columns is None else "it lacks one of these columns"
        raise SourceError(
            f"descendants need the table {ANCESTOR} with {' and '.join(ANCESTOR_COLUMNS)}; {state}. {advice}"
        )
    wanted, found, rows = np.array(sorted(ids), dtype=np.int64), set(ids), 0
    for batch in backend.stream(ANCESTOR, ANCESTOR_COLUMNS):
        rows += batch.num_rows
        ancestor, descendant = (whole_numbers(batch.column(name)) for name in ANCESTOR_COLUMNS)
        is_below = np.isin(ancestor.value, wanted) & ~descendant.missing & ~descendant.bad
        found.update(descendant.value[is_below].tolist())
    if not rows:
        raise SourceError(f"descendants need rows in the table {ANCESTOR}; it is empty. {advice}")
    return found


def are_codes(words: pa.Array) -> np.ndarray:
    """Mark the source values that look like codes and not like a text, a day or an id of a patient.

    Args:
        words: Texts without spaces around them.

    Returns:
        True for each text that may be part of a code; Bool[value].
    """
    code_like = [bool(_CODE.fullmatch(word)) and not _DAY.fullmatch(word) for word in words.to_pylist()]
    return np.array(code_like, dtype=bool) & ~is_not_a_code(words)


def are_units(words: pa.Array) -> np.ndarray:
    """Mark the source values that look like units and not like a text, a day, a name or an id of a patient.

    Args:
        words: Texts without spaces around them.

    Returns:
        True for each text that may be a unit; Bool[value].
    """
    unit_like = [bool(_UNIT.fullmatch(word)) and not _DAY.fullmatch(word) for word in words.to_pylist()]
    return np.array(unit_like, dtype=bool) & ~is_not_a_code(words)


def _stream_concepts(backend: Backend) -> Iterable[pa.RecordBatch]:
    columns = backend.columns(CONCEPT)
    if columns is None:
        return []
    lacking: Sequence[str] = [name for name in CONCEPT_COLUMNS if name not in columns]
    if lacking and any(name in columns for name in CONCEPT_COLUMNS):
        raise SourceError(
            f"the table {CONCEPT} must have the columns {', '.join(CONCEPT_COLUMNS)}; it lacks {', '.join(lacking)}. "
            "Load the vocabulary from Athena, or remove the table"
        )
    return [] if lacking else backend.stream(CONCEPT, CONCEPT_COLUMNS)
