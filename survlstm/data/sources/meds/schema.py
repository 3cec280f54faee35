"""Check the columns of the parquet files of a MEDS dataset, and choose those that are read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from survlstm.data.sources.meds import names
from survlstm.data.sources.meds.files import MedsFiles, read_errors
from survlstm.data.sources.meds.names import (
    CODE,
    DESCRIPTION,
    ENCOUNTER_COLUMNS,
    PARENTS,
    SOURCE_SUBJECT,
    SPLIT,
    SUBJECT,
    TEXT,
    TIME,
    UNIT,
    VALUE,
)
from survlstm.utils.content import list_known_names
from survlstm.utils.errors import SourceError

log = logging.getLogger(__name__)

# The columns that a message may show, those of MEDS and usual ones beside them. Any other may be patient data, for
# example if a table was written with its first row as the header.
_OWN = (SUBJECT, TIME, CODE, VALUE, TEXT)
_OLD_SUBJECT = "patient_id"
SHOWN_COLUMNS = frozenset(
    {*_OWN, *ENCOUNTER_COLUMNS, _OLD_SUBJECT, SPLIT, SOURCE_SUBJECT, DESCRIPTION, PARENTS}
    | {"table", UNIT, "end", "insert_time", "provider_id", "care_site_id", "clinic_id", "note_id", "stay_id"}
    | {"icustay_id", "text", "modifier", "properties", "value", "datetime_value", "visit_detail_id", "order_id"}
)
# Nanoseconds, microseconds and the like in a second.
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_MEDS_UNIT = "us"


class ShardColumns(NamedTuple):
    """How one shard is read.

    Attributes:
        path: The file.
        per_second: Units of its times in a second.
        encounter: Name of its column of encounters; None if it has none.
        has_values: Whether it has a column of values.
        has_units: Whether it has a column of units.
        has_texts: Whether a row of it has a text as its value.
    """

    path: Path
    per_second: int
    encounter: str | None
    has_values: bool
    has_units: bool
    has_texts: bool

    @property
    def names(self) -> list[str]:
        """The columns to read."""
        there = ((VALUE, self.has_values), (UNIT, self.has_units), (TEXT, self.has_texts))
        optional = [name for name, is_there in there if is_there]
        return [SUBJECT, TIME, CODE, *optional, *([self.encounter] if self.encounter else [])]


def check_shards(files: MedsFiles, *, encounter_column: str | None) -> list[ShardColumns]:
    """Check the columns of every shard, and log what is not read.

    Args:
        files: Files of the dataset.
        encounter_column: Column of the encounters; ``auto`` takes the first of ``ENCOUNTER_COLUMNS`` that a shard has,
            None reads none.

    Returns:
        One entry per shard, in their order.

    Raises:
        SourceError: A shard can't be read, lacks a column or has one of another type, or no shard has
            ``encounter_column``.
    """
    schemas = [read_schema(files, path) for path in files.shards]
    present = {name for schema in schemas for name in schema.names}
    encounter = names.encounter_column(encounter_column, present)
    if encounter is not None and (encounter not in present or encounter in _OWN):
        shown = list_known_names(sorted(present), {*SHOWN_COLUMNS, encounter})
        raise SourceError(
            f"data.source.encounter_column must name a column beside MEDS's own, auto or null; no shard has such a "
            f"column {encounter!r}, their columns are {shown}. Name another."
        )
    shards = [
        _shard_columns(files, path, schema, encounter) for path, schema in zip(files.shards, schemas, strict=True)
    ]
    _log_columns(files, schemas, encounter)
    return shards


def read_schema(files: MedsFiles, path: Path) -> pa.Schema:
    """Return the columns of a parquet file.

    Args:
        files: Files of the dataset.
        path: The file.

    Raises:
        SourceError: The file can't be read.
    """
    with read_errors(files, path):
        return pq.read_schema(path)


def check_columns(
    files: MedsFiles, path: Path, schema: pa.Schema, types: dict[str, tuple[str, Callable[[pa.DataType], bool]]]
) -> None:
    """Raise SourceError if a file lacks a column, has it twice, or has it with another type.

    Args:
        files: Files of the dataset.
        path: The file.
        schema: Its columns.
        types: What each column must be, in words, and a function that tells whether a type is that.
    """
    missing = [name for name in types if name not in schema.names]
    if missing:
        old = ""
        if _OLD_SUBJECT in schema.names:
            old = f" A column {_OLD_SUBJECT} is that of MEDS 0.3 and older: convert the dataset to MEDS 0.4."
        raise SourceError(
            f"{files.shown(path)} must have the columns {', '.join(types)}; {', '.join(missing)} missing, found "
            f"{list_known_names(schema.names, {*SHOWN_COLUMNS, *types})}.{old or ' Write the dataset again.'}"
        )
    for name, (expected, fits) in types.items():
        if schema.names.count(name) > 1:
            raise SourceError(f"{files.shown(path)} must have one column {name}; found several. Keep one.")
        found = schema.field(name).type
        if not fits(found):
            raise SourceError(
                f"{files.shown(path)} must have {expected} as {name}; found {_type_name(found)}. Write the dataset "
                "again with the types of MEDS 0.4."
            )


def is_text(kind: pa.DataType) -> bool:
    """Return whether a column of this type holds texts, dictionary-encoded or not.

    Args:
        kind: Type of the column.
    """
    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_integer(kind: pa.DataType) -> bool:
    """Return whether a column of this type holds whole numbers.

    Args:
        kind: Type of the column.
    """
    return bool(pa.types.is_integer(kind))


def _is_time(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_null(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind))


def _is_unit(kind: pa.DataType) -> bool:
    return is_text(kind) or pa.types.is_null(kind)


def _is_encounter(kind: pa.DataType) -> bool:
    return is_text(kind) or _is_number(kind)


def _shard_columns(files: MedsFiles, path: Path, schema: pa.Schema, encounter: str | None) -> ShardColumns:
    types: dict[str, tuple[str, Callable[[pa.DataType], bool]]] = {
        SUBJECT: ("whole numbers (int64)", is_integer),
        TIME: ("timestamps", _is_time),
        CODE: ("texts", is_text),
    }
    check_columns(files, path, schema, types)
    optional: dict[str, tuple[str, Callable[[pa.DataType], bool]]] = {}
    if VALUE in schema.names:
        optional[VALUE] = ("numbers (float32)", _is_number)
    if encounter is not None and encounter in schema.names:
        optional[encounter] = ("numbers or texts", _is_encounter)
    has_units = reads_units(schema) and encounter != UNIT
    if has_units:
        optional[UNIT] = ("texts", _is_unit)
    check_columns(files, path, schema, optional)
    kind = schema.field(TIME).type
    per_second = _PER_SECOND[kind.unit] if pa.types.is_timestamp(kind) else _PER_SECOND[_MEDS_UNIT]
    return ShardColumns(
        path,
        per_second,
        encounter if encounter in optional else None,
        has_values=VALUE in optional,
        # A unit belongs to a number.
        has_units=has_units and VALUE in optional,
        has_texts=TEXT in schema.names and _has_content(files, path, TEXT),
    )


def reads_units(schema: pa.Schema) -> bool:
    """Return whether the units of a shard are read: those in a column of texts.

    Args:
        schema: Columns of the shard.
    """
    return UNIT in schema.names and all(_is_unit(field.type) for field in schema if field.name == UNIT)


def _has_content(files: MedsFiles, path: Path, column: str) -> bool:
    """Return False if the statistics of the file say that every value of a column is null."""
    with read_errors(files, path):
        metadata = pq.read_metadata(path)
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for chunk in (group.column(index) for index in range(group.num_columns)):
            if chunk.path_in_schema == column:
                known = chunk.statistics
                if known is None or not known.has_null_count or known.null_count < group.num_rows:
                    return True
    return False


def _log_columns(files: MedsFiles, schemas: Sequence[pa.Schema], encounter: str | None) -> None:
    """Log once for the dataset what differs from MEDS, and which columns are not read."""
    kinds = [schema.field(TIME).type for schema in schemas]
    stamps = [kind for kind in kinds if pa.types.is_timestamp(kind)]
    other_units = sorted({kind.unit for kind in stamps} - {_MEDS_UNIT})
    if other_units:
        log.info("%s: times have the unit %s in place of %s", files.folder, ", ".join(other_units), _MEDS_UNIT)
    zoned = sum(kind.tz is not None for kind in stamps)
    if zoned:
        log.info("%s: the times of %d of %d shards have a zone and are read in UTC", files.folder, zoned, len(schemas))
    columns = list(dict.fromkeys(name for schema in schemas for name in schema.names))
    if TEXT in columns:
        log.info("%s: the texts in %s are not read", files.folder, TEXT)
    read = {*_OWN, encounter, *({UNIT} if all(map(reads_units, _with_units(schemas))) else ())}
    others = [name for name in columns if name not in read]
    if others:
        log.info("%s: columns not read: %s", files.folder, list_known_names(others, SHOWN_COLUMNS))
    log.info("%s: encounters are %s", files.folder, f"those of the column {encounter}" if encounter else "not named")


def _with_units(schemas: Sequence[pa.Schema]) -> list[pa.Schema]:
    return [schema for schema in schemas if UNIT in schema.names]


def _type_name(kind: pa.DataType) -> str:
    """Return the name of a type without its parameters: those of a struct are names, which may be patient data."""
    return str(kind).split("<", maxsplit=1)[0].split("[", maxsplit=1)[0]
