"""Number the subjects, codes, units and encounters of a dataset in the order in which they are read."""

from __future__ import annotations

import math
from enum import IntEnum

import numpy as np
import pyarrow as pa
from jaxtyping import Int, Int8, Int32

from survlstm.data.sources.meds.names import BIRTH, DEATH, OBSERVED_UNTIL, is_kind
from survlstm.data.sources.meds.shard_rows import RawRows, run_starts
from survlstm.data.sources.missing_values import MISSING_WORDS
from survlstm.data.sources.row_checks import is_not_a_code
from survlstm.data.sources.units import clean_units
from survlstm.utils.errors import SourceError

# In characters; as for tables of events. NumPy stores every code at the width of the longest one.
LONGEST_CODE = 1000


class CodeKind(IntEnum):
    """What a code is: that of an event, one of MEDS's own codes, or unusable for one reason."""

    EVENT = 0
    BIRTH = 1
    DEATH = 2
    OBSERVED_UNTIL = 3
    MISSING = 4
    TOO_LONG = 5
    UNPRINTABLE = 6
    NOT_A_CODE = 7


class SubjectNumbers:
    """Numbers of the subjects, which also find those that are in two shards."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self._number: dict[int, int] = {}
        self._shard: list[int] = []
        self._in_two: set[int] = set()

    def number(self, ids: Int[np.ndarray, " row"], *, shard: int) -> Int32[np.ndarray, " row"]:
        """Return the number of each row's subject; an id that was not seen before gets the next number.

        Args:
            ids: Ids in any order; fast if equal ids are neighbours.
            shard: Number of the shard that the rows are in.
        """
        starts = run_starts(ids)
        numbers = np.array([self._number_one(one, shard) for one in ids[starts].tolist()], dtype=np.int32)
        return np.repeat(numbers, np.diff(np.append(starts, len(ids))))

    def _number_one(self, one: int, shard: int) -> int:
        number = self._number.setdefault(one, len(self.ids))
        if number == len(self.ids):
            self.ids.append(one)
            self._shard.append(shard)
        elif self._shard[number] != shard:
            self._in_two.add(number)
        return number

    def refuse_divided(self) -> None:
        """Raise SourceError if a subject is in several shards, which MEDS forbids."""
        if self._in_two:
            raise SourceError(
                f"a subject must be in one parquet file, as the MEDS standard asks; {len(self._in_two):,} of "
                f"{len(self.ids):,} subjects are in two or more. Parts of two datasets, or two copies of one, may be "
                "below data/: keep one of them."
            )


class CodeNumbers:
    """Numbers of the codes, and what each of them is."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._kinds: list[int] = []
        self._by_bytes: dict[bytes | None, int] = {}
        self._by_name: dict[str, int] = {}
        self._last: tuple[pa.Array, Int32[np.ndarray, " code"]] | None = None

    @property
    def kinds(self) -> Int8[np.ndarray, " code"]:
        """``CodeKind`` of each number."""
        return np.array(self._kinds, dtype=np.int8)

    def number(self, rows: RawRows) -> Int32[np.ndarray, " row"]:
        """Return the number of each row's code; spaces around a code do not count.

        Args:
            rows: A batch of rows.
        """
        # The batches of one row group often share their dictionary.
        if self._last is None or not self._last[0].equals(rows.codes):
            numbers = [self._number_one(content) for content in [*rows.codes.to_pylist(), None]]
            self._kinds += _kinds(self.names[len(self._kinds) :])
            self._last = rows.codes, np.array(numbers, dtype=np.int32)
        # The last number is that of a missing code, whose index is -1.
        return self._last[1][rows.code]

    def _number_one(self, content: bytes | None) -> int:
        number = self._by_bytes.get(content)
        if number is None:
            name = (content or b"").decode("utf-8", "replace").strip()
            number = self._by_name.setdefault(name, len(self.names))
            if number == len(self.names):
                self.names.append(name)
            self._by_bytes[content] = number
        return number


class UnitNumbers:
    """Numbers of the units of values; 0 is that of no unit."""

    def __init__(self) -> None:
        self.names: list[str] = [""]
        self._number: dict[str, int] = {"": 0}
        self._last: tuple[pa.Array, Int32[np.ndarray, " unit"]] | None = None

    def number(self, rows: RawRows) -> Int32[np.ndarray, " row"]:
        """Return the number of each row's unit, -1 for a text that can't be a unit.

        Args:
            rows: A batch of rows of a shard that names units.
        """
        assert rows.unit is not None, "only named units are numbered"
        assert rows.units is not None, "only named units are numbered"
        # As for codes, whose numbers are found once for each dictionary.
        if self._last is None or not self._last[0].equals(rows.units):
            clean = clean_units(
                pa.array([(one or b"").decode("utf-8", "replace") for one in rows.units.to_pylist()], pa.string())
            )
            numbers = np.array([*map(self._number_one, clean.names), 0], dtype=np.int32)
            numbers[np.flatnonzero(clean.unusable)] = -1
            self._last = rows.units, numbers
        return self._last[1][rows.unit]

    def _number_one(self, name: str) -> int:
        number = self._number.setdefault(name, len(self.names))
        if number == len(self.names):
            self.names.append(name)
        return number


class EncounterNumbers:
    """Numbers of the encounters; the same id in two subjects is two encounters."""

    def __init__(self) -> None:
        self._next = 0
        self._number: dict[tuple[int, int | float | str], int] = {}

    def number(self, rows: RawRows, subject: Int32[np.ndarray, " row"]) -> Int32[np.ndarray, " row"]:
        """Return the number of each row's encounter, -1 for none.

        Args:
            rows: A batch of rows.
            subject: Number of each row's subject, -1 for none.
        """
        numbers = np.full(len(subject), -1, dtype=np.int32)
        if rows.encounter is None or pa.types.is_null(rows.encounter.type):
            return numbers
        encoded = rows.encounter
        if not pa.types.is_dictionary(encoded.type):
            encoded = encoded.dictionary_encode()
        names = [_encounter_name(one) for one in _plain(encoded.dictionary)]
        is_name = np.array([name is not None for name in [*names, None]])
        index = encoded.indices.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)
        named = np.flatnonzero(is_name[index] & (subject >= 0))
        pairs = (subject[named].astype(np.int64) << 32) + index[named]
        starts = run_starts(pairs)
        distinct, run = np.unique(pairs[starts], return_inverse=True)
        found = [self._number_one(pair >> 32, names[pair & 0xFFFFFFFF]) for pair in distinct.tolist()]
        numbers[named] = np.repeat(np.array(found, dtype=np.int32)[run], np.diff(np.append(starts, len(pairs))))
        return numbers

    def end_shard(self) -> None:
        """Forget the ids: no subject, and so no encounter, continues in another shard."""
        self._number = {}

    def _number_one(self, subject: int, name: int | float | str | None) -> int:
        assert name is not None, "only named encounters are numbered"
        number = self._number.setdefault((subject, name), self._next)
        self._next += number == self._next
        return number


def _encounter_name(one: int | float | str | None) -> int | float | str | None:
    if isinstance(one, str):
        # A word for a missing value is not an id; it would put unrelated entries into one encounter.
        return None if one.strip().lower() in ("", *MISSING_WORDS) else one.strip()
    return None if isinstance(one, float) and math.isnan(one) else one


def _plain(values: pa.Array) -> list[int | float | str | None]:
    if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
        return list(values.to_pylist())
    return [
        None if one is None else one.decode("utf-8", "replace")
        for one in values.cast(pa.large_string()).cast(pa.large_binary()).to_pylist()
    ]


def _kinds(names: list[str]) -> list[int]:
    is_other = is_not_a_code(pa.array(names, pa.string()))
    return [
        int(CodeKind.NOT_A_CODE if other else _kind(name)) for name, other in zip(names, is_other.tolist(), strict=True)
    ]


def _kind(name: str) -> CodeKind:
    if not name:
        return CodeKind.MISSING
    if len(name) > LONGEST_CODE:
        return CodeKind.TOO_LONG
    # Two codes that look the same would be different. U+FFFD stands for bytes that are no text.
    if not name.isprintable() or "\N{REPLACEMENT CHARACTER}" in name:
        return CodeKind.UNPRINTABLE
    own = ((BIRTH, CodeKind.BIRTH), (DEATH, CodeKind.DEATH), (OBSERVED_UNTIL, CodeKind.OBSERVED_UNTIL))
    return next((kind for code, kind in own if is_kind(name, code)), CodeKind.EVENT)
