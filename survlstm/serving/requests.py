"""Read the body of a request, JSON or CSV, into the table of events that the predictor takes."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pydantic import TypeAdapter, ValidationError

from survlstm.data.cohort_file import SUBJECT, TIME
from survlstm.serving.errors import Location, RequestError, kind_of_value, message_for_errors
from survlstm.serving.fields import EventRow, EventRows, PredictionTime, PredictOptions, PredictRequest
from survlstm.utils.content import list_known_names

JSON, CSV = "application/json", "text/csv"
COLUMNS = tuple(EventRow.model_fields)
REQUIRED = ("subject_id", "time", "code")
# Spreadsheets save semicolons in some countries, and copied cells are separated by tabs.
DELIMITERS = (",", ";", "\t")
_ROWS = TypeAdapter(EventRows)


@dataclass(frozen=True)
class ParsedRequest:
    """A request in the form that the predictor takes.

    Attributes:
        events: A table with the columns of ``EventRow``; identifiers are text.
        as_sent: For each subject's identifier as text the identifier as the client sent it, text or number, in the
            order in which the subjects first appear.
        options: Options of the body and of the query together.
        notes: Which columns of a CSV table were ignored.
        times: A table with the columns subject_id and prediction_time; None without ``prediction_times``.
    """

    events: pd.DataFrame
    as_sent: dict[str, str | int]
    options: PredictOptions
    notes: tuple[str, ...]
    times: pd.DataFrame | None = None

    @property
    def as_of(self) -> str | pd.DataFrame | None:
        """The prediction times: ``times``, or the option ``as_of``."""
        return self.options.as_of if self.times is None else self.times


def parse_request(body: bytes, media_type: str, query: PredictOptions, *, max_events: int) -> ParsedRequest:
    """Read and check the body of a request.

    Args:
        body: The body.
        media_type: ``application/json`` or ``text/csv``.
        query: Options given in the query.
        max_events: Most events that the body may hold.

    Returns:
        The request in the form that the predictor takes.

    Raises:
        RequestError: Status 413 for too many events, 422 for an invalid body; the message quotes no value of it.
    """
    notes: tuple[str, ...] = ()
    options, times = query, None
    if media_type == CSV:
        rows, notes = _read_csv(body, max_events=max_events)
    else:
        request = _read_json(body)
        _refuse_too_many(len(request.events), max_events)
        rows, options, times = request.events, _options(request, query), request.prediction_times
        _check_times(times, options, max_events)
    if not rows:
        raise RequestError(422, "events must hold at least one event; found 0")
    return ParsedRequest(
        events=_table(rows),
        as_sent=_as_sent(rows),
        options=options,
        notes=notes,
        times=None if times is None else _times_table(times),
    )


def _read_json(body: bytes) -> PredictRequest:
    try:
        return PredictRequest.model_validate_json(body, strict=True)
    except ValidationError as error:
        raise RequestError(
            422,
            message_for_errors(error.errors(include_url=False), format_location=_format_location, known_fields=_fields),
        ) from None


def _options(request: PredictRequest, query: PredictOptions) -> PredictOptions:
    """Combine the options of the body and of the query; each may be given in one of them only."""
    in_query = {
        name: value for name, value in query if name in PredictOptions.model_fields and name in query.model_fields_set
    }
    twice = [name for name in in_query if name in request.model_fields_set]
    if twice:
        raise RequestError(422, f"{twice[0]} must be given in the body or in the query; found it in both")
    return request.model_copy(update=in_query)


def _check_times(times: list[PredictionTime] | None, options: PredictOptions, most: int) -> None:
    if times is None:
        return
    if options.as_of is not None:
        raise RequestError(422, "one of prediction_times and as_of must say when predictions are made; found both")
    if len(times) > most:
        raise RequestError(
            413, f"a request must hold at most {most:,} prediction_times; found {len(times):,}. Send several requests"
        )


def _times_table(times: list[PredictionTime]) -> pd.DataFrame:
    return pd.DataFrame(
        {SUBJECT: [str(each.subject_id) for each in times], TIME: [each.time for each in times]}, dtype=object
    )


def _as_sent(rows: list[EventRow]) -> dict[str, str | int]:
    """Map each identifier as text to the one that was sent; refuse 1 and "1", which would become one subject."""
    as_sent: dict[str, str | int] = {}
    for number, row in enumerate(rows):
        first = as_sent.setdefault(str(row.subject_id), row.subject_id)
        if first != row.subject_id:
            raise RequestError(
                422,
                f"{_format_location(('events', number, 'subject_id'))} must be {kind_of_value(first)}, like the same "
                f"subject_id in an earlier event; found {kind_of_value(row.subject_id)}. Send the subject_id of a "
                "subject always as text or always as a number, and different ones for different subjects",
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
    """Read the rows of a table with a header, and note the columns that ``EventRow`` does not have."""
    header, cells, lines = _cells(body)
    _refuse_too_many(len(cells), max_events)
    known = [column for column, name in enumerate(header) if name in COLUMNS]
    others = [name for name in header if name not in COLUMNS]
    rows = [{header[column]: _value(header[column], row[column]) for column in known} for row in cells]

    def in_line(where: Location) -> str:
        return _format_location(("line", lines[int(where[0])], *where[1:])) if where else "the table"

    try:
        checked = _ROWS.validate_python(rows)
    except ValidationError as error:
        raise RequestError(
            422, message_for_errors(error.errors(include_url=False), format_location=in_line, known_fields=_fields)
        ) from None
    return checked, ((f"ignored columns: {list_known_names(others, ())}",) if others else ())


def _cells(body: bytes) -> tuple[list[str], list[list[str]], list[int]]:
    """Return the header, the rows that are not blank, and the number of the line on which each row ends."""
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
    """Convert a cell; text in a numeric column stays text, which the validation then refuses with its line."""
    cell = cell.strip()
    if column == "numeric_value" and cell:
        try:
            return float(cell)
        except ValueError:
            return cell
    return cell or None


def _table(rows: list[EventRow]) -> pd.DataFrame:
    """Build the predictor's table; without any encounter it lacks that column, which the predictor notes."""
    encounters: list[str | None] = [None if row.encounter_id is None else str(row.encounter_id) for row in rows]
    table = pd.DataFrame(
        {
            "subject_id": pd.Series([str(row.subject_id) for row in rows], dtype=object),
            "time": np.array([row.time for row in rows], dtype="datetime64[s]"),
            "code": pd.Series([row.code for row in rows], dtype=object),
            "numeric_value": np.array([row.numeric_value for row in rows], dtype=np.float64),
            "unit": pd.Series([row.unit for row in rows], dtype=object),
        }
    )
    return table if not any(encounters) else table.assign(encounter_id=pd.Series(encounters, dtype=object))


def _format_location(where: Location) -> str:
    """Format a location: ``events[3].time`` for ("events", 3, "time"), ``line 7: time`` for ("line", 7, "time")."""
    if where[:1] == ("line",):
        return f"line {where[1]}: {where[2]}" if len(where) > 2 else f"line {where[1]}"
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where).removeprefix(".")
    return path or "the body"


def _fields(where: Location) -> tuple[str, ...]:
    return COLUMNS if "events" in where[:-1] else tuple(PredictRequest.model_fields)


def format_query_location(where: Location) -> str:
    """Format the location of an error in the query.

    Args:
        where: The location as pydantic reports it, such as ("query", "top").

    Returns:
        The text, as in "top in the query"; "the query" if the location names no field.
    """
    return f"{_format_location(where[1:])} in the query" if where[1:] else "the query"


def parse_media_type(header: str | None) -> tuple[str, dict[str, Any]]:
    """Parse a Content-Type header.

    Args:
        header: The value of the header; None if the request has none.

    Returns:
        The media type and its parameters by name, all in lower case; an empty media type without a header.
    """
    media_type, *rest = (header or "").lower().split(";")
    pairs = (part.partition("=") for part in rest)
    return media_type.strip(), {name.strip(): value.strip(' "') for name, _, value in pairs}
