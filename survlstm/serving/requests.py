"""The body of a request, JSON or CSV → the table of events that the predictor reads, and what is asked of it."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pydantic import TypeAdapter, ValidationError

from survlstm.serving.errors import Place, RequestError, kind_of_value, message_for_errors
from survlstm.serving.fields import EventRow, EventRows, PredictOptions, PredictRequest
from survlstm.utils.content import list_known_names

JSON, CSV = "application/json", "text/csv"
COLUMNS = tuple(EventRow.model_fields)
REQUIRED = ("subject_id", "time", "code")
# As spreadsheets of other countries save them, and as cells are pasted.
DELIMITERS = (",", ";", "\t")
_ROWS = TypeAdapter(EventRows)


@dataclass(frozen=True)
class ParsedRequest:
    """A request as the predictor takes it.

    ``events`` has the columns of ``EventRow``, ids as text. ``as_sent`` gives each id, as text, as the client wrote
    it, in the order in which the subjects first appear. ``notes`` say what of the table was not looked at.
    """

    events: pd.DataFrame
    as_sent: dict[str, str | int]
    options: PredictOptions
    notes: tuple[str, ...]


def parse_request(body: bytes, media_type: str, query: PredictOptions, *, max_events: int) -> ParsedRequest:
    """Read and check a body; Problem (413, 422) with a sentence that holds no value of it."""
    notes: tuple[str, ...] = ()
    options = query
    if media_type == CSV:
        rows, notes = _read_csv(body, max_events=max_events)
    else:
        request = _read_json(body)
        _refuse_too_many(len(request.events), max_events)
        rows, options = request.events, _options(request, query)
    if not rows:
        raise RequestError(422, "events must hold at least one event; found 0")
    return ParsedRequest(
        events=_table(rows),
        as_sent=_as_sent(rows),
        options=options,
        notes=notes,
    )


def _read_json(body: bytes) -> PredictRequest:
    try:
        return PredictRequest.model_validate_json(body, strict=True)
    except ValidationError as error:
        raise RequestError(
            422, message_for_errors(error.errors(include_url=False), place=_place, fields=_fields)
        ) from None


def _options(request: PredictRequest, query: PredictOptions) -> PredictOptions:
    """Those of the body and of the query together; an option stands in one of them."""
    asked = {
        name: value for name, value in query if name in PredictOptions.model_fields and name in query.model_fields_set
    }
    twice = [name for name in asked if name in request.model_fields_set]
    if twice:
        raise RequestError(422, f"{twice[0]} must stand in the body or in the query; found it in both")
    return request.model_copy(update=asked)


def _as_sent(rows: list[EventRow]) -> dict[str, str | int]:
    """Of each id, as text, how it was sent; Problem where 1 and "1" would be taken for one subject."""
    as_sent: dict[str, str | int] = {}
    for number, row in enumerate(rows):
        first = as_sent.setdefault(str(row.subject_id), row.subject_id)
        if first != row.subject_id:
            raise RequestError(
                422,
                f"{_place(('events', number, 'subject_id'))} must be {kind_of_value(first)}, as an id before it "
                f"that reads "
                f"the same; found {kind_of_value(row.subject_id)}. Write an id in one way, and the ids of two subjects "
                "differently",
            )
    return as_sent


def _refuse_too_many(events: int, most: int) -> None:
    if events > most:
        raise RequestError(
            413,
            f"a request must hold at most {most:,} events (max_events); found {events:,}. Send the subjects in several "
            "requests",
        )


def _read_csv(body: bytes, *, max_events: int) -> tuple[list[EventRow], tuple[str, ...]]:
    """The rows of a table with a header; a note says how many other columns than those of ``EventRow`` there are."""
    header, cells, lines = _cells(body)
    _refuse_too_many(len(cells), max_events)
    known = [place for place, name in enumerate(header) if name in COLUMNS]
    others = [name for name in header if name not in COLUMNS]
    rows = [{header[place]: _value(header[place], row[place]) for place in known} for row in cells]

    def in_line(where: Place) -> str:
        return _place(("line", lines[int(where[0])], *where[1:])) if where else "the table"

    try:
        checked = _ROWS.validate_python(rows)
    except ValidationError as error:
        raise RequestError(
            422, message_for_errors(error.errors(include_url=False), place=in_line, fields=_fields)
        ) from None
    return checked, ((f"columns that are not looked at: {list_known_names(others, ())}",) if others else ())


def _cells(body: bytes) -> tuple[list[str], list[list[str]], list[int]]:
    """The header, the rows that are not blank, and the line on which each ends."""
    try:
        text = body.decode("utf-8-sig")
        first = text.lstrip().partition("\n")[0]
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(DELIMITERS, key=first.count), strict=True)
        numbered = [(reader.line_num, row) for row in reader if row and row != [""]]
    except UnicodeDecodeError:
        raise RequestError(422, "a CSV table must be UTF-8 text; found bytes that are not. Save it as UTF-8") from None
    except csv.Error as error:
        raise RequestError(422, f"the body must be a CSV table; it can't be read: {error}") from None
    if not numbered:
        raise RequestError(422, f"a CSV table must have a header with {', '.join(REQUIRED)}; found an empty table")
    header = [name.strip() for name in numbered[0][1]]
    _refuse_header(header)
    for line, row in numbered[1:]:
        if len(row) != len(header):
            raise RequestError(422, f"line {line} must have {len(header)} fields, as the header has; found {len(row)}")
    return header, [row for _, row in numbered[1:]], [line for line, _ in numbered[1:]]


def _refuse_header(header: list[str]) -> None:
    missing = [name for name in REQUIRED if name not in header]
    if missing:
        raise RequestError(
            422,
            f"a CSV table must have the columns {', '.join(REQUIRED)} in its first line; {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing among the {len(header)} found: "
            f"{list_known_names(header, COLUMNS)}",
        )
    twice = [name for name in COLUMNS if header.count(name) > 1]
    if twice:
        raise RequestError(
            422, f"a CSV table must have each column once; found {twice[0]} {header.count(twice[0])} times"
        )


def _value(column: str, cell: str) -> str | float | None:
    """What a cell stands for; a number that is none stays text, which is then refused with its place."""
    cell = cell.strip()
    if column == "numeric_value" and cell:
        try:
            return float(cell)
        except ValueError:
            return cell
    return cell or None


def _table(rows: list[EventRow]) -> pd.DataFrame:
    """As the predictor reads it; without any encounter there is no such column, which is worth a note there."""
    encounters: list[str | None] = [None if row.encounter_id is None else str(row.encounter_id) for row in rows]
    table = pd.DataFrame(
        {
            "subject_id": pd.Series([str(row.subject_id) for row in rows], dtype=object),
            "time": np.array([row.time for row in rows], dtype="datetime64[s]"),
            "code": pd.Series([row.code for row in rows], dtype=object),
            "numeric_value": np.array([row.numeric_value for row in rows], dtype=np.float64),
        }
    )
    return table if not any(encounters) else table.assign(encounter_id=pd.Series(encounters, dtype=object))


def _place(where: Place) -> str:
    """("events", 3, "time") → events[3].time, ("line", 7, "time") → line 7: time."""
    if where[:1] == ("line",):
        return f"line {where[1]}: {where[2]}" if len(where) > 2 else f"line {where[1]}"
    written = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where).removeprefix(".")
    return written or "the body"


def _fields(where: Place) -> tuple[str, ...]:
    return COLUMNS if "events" in where[:-1] else tuple(PredictRequest.model_fields)


def place_in_query(where: Place) -> str:
    """("query", "top") → top in the query."""
    return f"{_place(where[1:])} in the query" if where[1:] else "the query"


def parse_media_type(header: str | None) -> tuple[str, dict[str, Any]]:
    """The media type of a Content-Type header, and its parameters, in small letters."""
    media_type, *rest = (header or "").lower().split(";")
    pairs = (part.partition("=") for part in rest)
    return media_type.strip(), {name.strip(): value.strip(' "') for name, _, value in pairs}
