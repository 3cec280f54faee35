"""The fields of a request: what each must hold, checked and described in one place."""

from __future__ import annotations

import datetime
import math
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.types import FailFast
from pydantic_core import PydanticCustomError

from survlstm.data.sources.timestamps import FIRST_YEAR, LAST_YEAR
from survlstm.inference.events_table import LONGEST

LONGEST_ID, LONGEST_CODE = LONGEST["subject_id"], LONGEST["code"]
FIRST_TIME, LAST_TIME = datetime.datetime(FIRST_YEAR, 1, 1), datetime.datetime(LAST_YEAR + 1, 1, 1)
TIME_IN_WORDS = f"a day or a time of the years {FIRST_YEAR} to {LAST_YEAR}, written 2020-01-31 or 2020-01-31T12:00:00"


def _refused(expected: str) -> PydanticCustomError:
    return PydanticCustomError("expected", "must be {expected}", {"expected": expected})


def _identifier(value: object) -> str | int:
    if isinstance(value, str) and 0 < len(value.strip()) <= LONGEST_ID and value.strip().isprintable():
        return value.strip()
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
        return value
    raise _refused(f"text of 1 to {LONGEST_ID} printable characters, or a whole number of at most 64 bits")


def _optional_identifier(value: object) -> str | int | None:
    return None if value is None else _identifier(value)


def _code(value: object) -> str:
    if isinstance(value, str) and 0 < len(value.strip()) <= LONGEST_CODE and value.strip().isprintable():
        return value.strip()
    raise _refused(f"text of 1 to {LONGEST_CODE} printable characters, such as SNOMED/44054006")


def _time(value: object) -> datetime.datetime:
    """As the exports have it: a time of day without a zone. One with a zone is told in UTC."""
    try:
        time = datetime.datetime.fromisoformat(value if isinstance(value, str) else "")
        time = time if time.tzinfo is None else time.astimezone(datetime.UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise _refused(TIME_IN_WORDS) from None
    if not FIRST_TIME <= time < LAST_TIME:
        raise _refused(TIME_IN_WORDS)
    return time


def _optional_time(value: object) -> datetime.datetime | None:
    return None if value is None else _time(value)


def _day_or_time(value: object) -> str | None:
    """As it was written: of a day that is no time, all of the day is meant."""
    if value is None:
        return None
    time = _time(value)
    return str(value) if "T" not in str(value) or len(str(value)) <= len("2020-01-31T12:00:00") else time.isoformat()


def _number(value: object) -> float | None:
    if value is None:
        return None
    try:
        number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:
        number = math.nan
    if not math.isfinite(number):
        raise _refused("a finite number or null")
    return number


def _schema(*kinds: dict[str, Any], description: str) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": list(kinds), "description": description})


_NULL: dict[str, Any] = {"type": "null"}
_ID: tuple[dict[str, Any], ...] = (
    {"type": "string", "minLength": 1, "maxLength": LONGEST_ID},
    {"type": "integer", "minimum": -(2**63) + 1, "maximum": 2**63 - 1},
)
_TIME: dict[str, Any] = {"type": "string", "examples": ["2020-01-31T12:00:00", "2020-01-31"]}
Time = Annotated[
    datetime.datetime | None,
    BeforeValidator(_optional_time),
    _schema(_TIME, _NULL, description=f"When: {TIME_IN_WORDS}. With a zone it is told in UTC. Null: no time."),
]


Horizons = Annotated[list[Annotated[float, Field(gt=0, allow_inf_nan=False)]], Field(min_length=1, max_length=100)]


class EventRow(BaseModel):
    """One event, a row of MEDS; a birth is the code MEDS_BIRTH, a death MEDS_DEATH, with a suffix //… or without."""

    model_config = ConfigDict(extra="forbid")

    subject_id: Annotated[str | int, BeforeValidator(_identifier), _schema(*_ID, description="Whose event it is.")]
    time: Time
    code: Annotated[
        str,
        BeforeValidator(_code),
        WithJsonSchema(
            {"type": "string", "minLength": 1, "maxLength": LONGEST_CODE, "examples": ["SNOMED/44054006", "MEDS_BIRTH"]}
        ),
    ]
    numeric_value: Annotated[
        float | None, BeforeValidator(_number), _schema({"type": "number"}, _NULL, description="A measured value.")
    ] = None
    encounter_id: Annotated[
        str | int | None,
        BeforeValidator(_optional_identifier),
        _schema(*_ID, _NULL, description="The encounter that the event belongs to, which makes a visit."),
    ] = None


# What is wrong with the first wrong event is enough, of a hundred thousand.
EventRows = Annotated[list[EventRow], FailFast()]


class PredictOptions(BaseModel):
    """What is asked of events."""

    model_config = ConfigDict(extra="forbid")

    per_visit: bool = Field(default=False, description="A prediction for every visit, from what was known then.")
    horizons: Horizons | None = Field(
        default=None, description="Times at which survival is told, in the model's unit; null: those it was judged at."
    )
    as_of: Annotated[
        str | None,
        BeforeValidator(_day_or_time),
        _schema(_TIME, _NULL, description="Events after this day are not looked at."),
    ] = None


class ExplainQuery(PredictOptions):
    """What is asked of the events of one subject."""

    top: Annotated[int, Field(ge=1, le=100_000)] | None = Field(default=None, description="How many codes at most.")
    subject: Annotated[int, Field(ge=0)] | None = Field(
        default=None,
        description="Which subject of several: the position in the order in which they first appear, 0 for the first.",
    )


class PredictRequest(PredictOptions):
    """Events and what is asked of them."""

    events: EventRows = Field(description="In any order, of one subject or of several.")
