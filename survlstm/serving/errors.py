"""What went wrong with a request → a status and one sentence that holds nothing of what was sent."""

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

# Where an error lies, as pydantic tells it.
Place = tuple[int | str, ...]
# More places than these and the sentence is a list that nobody reads.
MOST_TOLD = 3
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
    """A request that can't be answered; ``detail`` is the sentence that the client gets."""


class ErrorResponse(BaseModel):
    """Every answer that is none."""

    error: str = Field(description="One sentence: what must hold, what was found, what to do.")


def error_response(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> Response:
    """The one shape of every answer that is none."""
    return Response(ErrorResponse(error=sentence).model_dump_json(), status, headers, media_type="application/json")


def message_for_status(status: int) -> str:
    """The sentence for what the framework refuses by itself."""
    sentences = {
        404: "the path must be one of /, /predict, /explain, /example, /model, /health, /docs and /openapi.json; found "
        "another path",
        405: "the method must be POST for /predict and /explain, and GET or HEAD for every other path; found another",
    }
    return sentences.get(status, HTTPStatus(status).phrase)


def message_for_errors(
    errors: Sequence[ErrorDetails] | Sequence[Any],
    *,
    place: Callable[[Place], str],
    fields: Callable[[Place], Iterable[str]],
) -> str:
    """One sentence from what pydantic found, no value in it.

    ``place`` names where, as in events[3].time; ``fields`` are the known ones beside an unknown field there.
    """
    told = [_one(error, place, fields) for error in errors[:MOST_TOLD]]
    more = len(errors) - len(told)
    return "; ".join(told) + (f"; and {more} more" if more else "")


def kind_of_value(value: object) -> str:
    """What a value is, without saying it."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN or an infinity"
    return next((name for kind, name in KINDS if isinstance(value, kind)), "something else")


def _one(
    error: ErrorDetails,
    place: Callable[[Place], str],
    fields: Callable[[Place], Iterable[str]],
) -> str:
    found, where = error["type"], error["loc"]
    if found == "json_invalid":
        return f"the body must be JSON; it can't be read: {error['ctx']['error']}"
    if found == "missing":
        return f"{place(where)} must be given; found none"
    if found == "extra_forbidden":
        # A name that a client made up may be anything, a patient's too.
        what = kind_of_content(str(where[-1]))
        return f"the fields of {place(where[:-1])} must be among {', '.join(fields(where))}; found another ({what})"
    name = found if found in EXPECTED else found.removesuffix("_type").removesuffix("_parsing")
    expected = EXPECTED.get(name, "valid").format(**error.get("ctx", {}))
    return f"{place(where)} must be {expected}; found {_found(name, error['input'])}"


def _found(name: str, value: object) -> str:
    if name in {"too_short", "too_long"} and isinstance(value, Sequence):
        return str(len(value))
    if name == "expected" and isinstance(value, str):
        return "other text"
    return "a number that is not" if name in RANGES else kind_of_value(value)
