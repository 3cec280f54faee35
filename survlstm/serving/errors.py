"""Turn errors of a request into a status and a message that quotes nothing of the request."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, Field
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from starlette.responses import Response

from survlstm.utils.content import kind_of_content

# Where an error is, as pydantic reports it: ("events", 3, "time").
Location = tuple[int | str, ...]
# Further errors are only counted: a longer message would not be read.
MOST_REPORTED = 3
KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "true or false"),
    ((int, float), "a number"),
    (str, "text"),
    ((list, tuple), "a list"),
    (Mapping, "an object"),
    (type(None), "null"),
)
EXPECTED = {
    "bool": "true or false",
    "string": "text",
    "float": "a number",
    "int": "a whole number",
    "finite_number": "a finite number",
    "list": "a list",
    "model": "an object",
    "greater_than": "greater than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than_equal": "at most {le:g}",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
    "expected": "{expected}",
}
RANGES = frozenset({"greater_than", "greater_than_equal", "less_than_equal"})


class RequestError(HTTPException):
    """A request that can't be answered; ``detail`` is the message that the client receives."""


class ErrorResponse(BaseModel):
    """Body of every error response."""

    error: str = Field(description="What must hold, what was found, and what to change.")


def error_response(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """Build an error response, with the body ``{"error": message}``.

    Args:
        status: The HTTP status.
        message: The sentence for the client; it must quote nothing of the request.
        headers: Further headers; None for none.

    Returns:
        The response.
    """
    return Response(ErrorResponse(error=message).model_dump_json(), status, headers, media_type="application/json")


def message_for_status(status: int) -> str:
    """Return the message for a request that the framework itself refuses.

    Args:
        status: The HTTP status that the framework chose, such as 404 or 405.

    Returns:
        The sentence for the client; the standard phrase of the status where survlstm has no sentence for it.
    """
    messages = {
        404: "the path must be one of /, /predict, /explain, /example, /model, /health, /docs and /openapi.json; found "
        "another path",
        405: "the method must be POST for /predict and /explain, and GET or HEAD for every other path; found another",
    }
    return messages.get(status, HTTPStatus(status).phrase)


def message_for_errors(
    errors: Sequence[ErrorDetails] | Sequence[Any],
    *,
    format_location: Callable[[Location], str],
    known_fields: Callable[[Location], Iterable[str]],
) -> str:
    """Describe pydantic's errors in one message without any value of the request.

    Args:
        errors: The errors, as ``ValidationError.errors()`` returns them.
        format_location: Formats the location of an error, such as ``events[3].time``.
        known_fields: Returns the names of the known fields at the location of an unknown one.

    Returns:
        The messages of the first ``MOST_REPORTED`` errors, separated by semicolons, and the number of the others.
    """
    messages = [_message(error, format_location, known_fields) for error in errors[:MOST_REPORTED]]
    more = len(errors) - len(messages)
    return "; ".join(messages) + (f"; and {more} more" if more else "")


def kind_of_value(value: object) -> str:
    """Name the type of a value without quoting it.

    Args:
        value: A value of a request, as JSON has it.

    Returns:
        The name, as in "text", "a number" or "null"; "something else" for a type that JSON does not have.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN or an infinity"
    return next((name for kind, name in KINDS if isinstance(value, kind)), "something else")


def _message(
    error: ErrorDetails,
    format_location: Callable[[Location], str],
    known_fields: Callable[[Location], Iterable[str]],
) -> str:
    kind, where = error["type"], error["loc"]
    if kind == "json_invalid":
        return f"the body must be JSON; it can't be read: {error['ctx']['error']}"
    if kind == "missing":
        return f"{format_location(where)} must be given; found none"
    if kind == "extra_forbidden":
        # An unknown field name may hold anything, a patient's name too, so only its kind is reported.
        what = kind_of_content(str(where[-1]))
        known = ", ".join(known_fields(where))
        return f"the fields of {format_location(where[:-1])} must be among {known}; found another ({what})"
    name = kind if kind in EXPECTED else kind.removesuffix("_type").removesuffix("_parsing")
    expected = EXPECTED.get(name, "valid").format(**error.get("ctx", {}))
    return f"{format_location(where)} must be {expected}; found {_describe_value(name, error['input'])}"


def _describe_value(name: str, value: object) -> str:
    if name in {"too_short", "too_long"} and isinstance(value, Sequence):
        return str(len(value))
    if name == "expected" and isinstance(value, str):
        return "other text"
    return "a number that is not" if name in RANGES else kind_of_value(value)
