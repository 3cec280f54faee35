"""Define, check and describe the fields of a request."""

from __future__ import annotations

import datetime
import math
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.types import FailFast
from pydantic_core import PydanticCustomError

from survlstm.data.sources.timestamps import FIRST_YEAR, LAST_YEAR
from survlstm.inference.events_table import LONGEST
from survlstm.inference.prediction_time import LAST

LONGEST_ID, LONGEST_CODE, LONGEST_UNIT = (LONGEST[name] for name in ("subject_id", "code", "unit"))
FIRST_TIME, LAST_TIME = datetime.datetime(FIRST_YEAR, 1, 1), datetime.datetime(LAST_YEAR + 1, 1, 1)
TIME_FORMAT = f"a day or a time of the years {FIRST_YEAR} to {LAST_YEAR}, written 2020-01-31 or 2020-01-31T12:00:00"


def _invalid(expected: str) -> PydanticCustomError:
    return PydanticCustomError("expected", "must be {expected}", {"expected": expected})


def _identifier(value: object) -> str | int:
    if isinstance(value, str) and 0 < len(value.strip()) <= LONGEST_ID and value.strip().isprintable():
        return value.strip()
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
        return value
    raise _invalid(f"text of 1 to {LONGEST_ID} printable characters, or a whole number of at most 64 bits")


def _optional_identifier(value: object) -> str | int | None:
    return None if value is None else _identifier(value)


def _code(value: object) -> str:
    if isinstance(value, str) and 0 < len(value.strip()) <= LONGEST_CODE and value.strip().isprintable():
        return value.strip()
    raise _invalid(f"text of 1 to {LONGEST_CODE} printable characters, such as SNOMED/44054006")


def _unit(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, str) and len(value.strip()) <= LONGEST_UNIT and value.strip().isprintable():
        return value.strip() or None
    raise _invalid(f"text of at most {LONGEST_UNIT} printable characters, such as mg/dL, or null")


def _time(value: object) -> datetime.datetime:
    """Parse a day or a time; a time with a zone is converted to UTC and loses the zone, as in the exports."""
    try:
        time = datetime.datetime.fromisoformat(value if isinstance(value, str) else "")
        time = time if time.tzinfo is None else time.astimezone(datetime.UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise _invalid(TIME_FORMAT) from None
    if not FIRST_TIME <= time < LAST_TIME:
        raise _invalid(TIME_FORMAT)
    return time


def _optional_time(value: object) -> datetime.datetime | None:
    return None if value is None else _time(value)


def _day_or_time(value: object) -> str | None:
    """Return the text as it was sent, because a day without a time means the whole day."""
    if value is None or value == LAST:
        return None if value is None else LAST
    time = _time(value)
    return str(value) if "T" not in str(value) or len(str(value)) <= len("2020-01-31T12:00:00") else time.isoformat()


def _required_day_or_time(value: object) -> str:
    if value is None or value == LAST:
        raise _invalid(TIME_FORMAT)
    time = _time(value)
    return str(value) if len(str(value)) <= len("2020-01-31") else time.isoformat(timespec="seconds")


def _number(value: object) -> float | None:
    if value is None:
        return None
    try:
        number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:
        number = math.nan
    if not math.isfinite(number):
        raise _invalid("a finite number or null")
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
    _schema(
        _TIME,
        _NULL,
        description=f"Time of the event: {TIME_FORMAT}. A zone is converted to UTC. Null: a static fact, as the sex.",
    ),
]


Horizons = Annotated[list[Annotated[float, Field(gt=0, allow_inf_nan=False)]], Field(min_length=1, max_length=100)]


class EventRow(BaseModel):
    """One event, a row of MEDS. A birth has the code MEDS_BIRTH, a death MEDS_DEATH; a suffix //… is allowed.

    An event without a time is a static fact, such as the sex; a model that was trained with ``data.static`` reads it.
    """

    model_config = ConfigDict(extra="forbid")

    subject_id: Annotated[
        str | int, BeforeValidator(_identifier), _schema(*_ID, description="Identifier of the subject.")
    ]
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
    unit: Annotated[
        str | None,
        BeforeValidator(_unit),
        _schema(
            {"type": "string", "maxLength": LONGEST_UNIT, "examples": ["mg/dL"]},
            _NULL,
            description="Unit of numeric_value; null or empty: none.",
        ),
    ] = None
    encounter_id: Annotated[
        str | int | None,
        BeforeValidator(_optional_identifier),
        _schema(*_ID, _NULL, description="Identifier of the encounter; the events of an encounter are one visit."),
    ] = None


# FailFast: one message about the first wrong event is enough, of up to a hundred thousand.
EventRows = Annotated[list[EventRow], FailFast()]


class PredictOptions(BaseModel):
    """Options of a prediction."""

    model_config = ConfigDict(extra="forbid")

    per_visit: bool = Field(default=False, description="Predict at every visit, from the history up to that visit.")
    horizons: Horizons | None = Field(
        default=None,
        description="Times at which survival is returned, in the model's unit; null: those of its evaluation.",
    )
    as_of: Annotated[
        str | None,
        BeforeValidator(_day_or_time),
        _schema(
            _TIME,
            {"const": LAST},
            _NULL,
            description="Events after this day or time are ignored. A model of the days clock predicts at exactly this "
            "time; last, and null, mean the last visit of each subject.",
        ),
    ] = None


class ExplainQuery(PredictOptions):
    """Options of an explanation."""

    top: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        default=None, description="Largest number of codes to return; null: all."
    )
    subject: Annotated[int, Field(ge=0)] | None = Field(
        default=None,
        description="Which of several subjects is explained: its position in the body, 0 for the first.",
    )


class PredictionTime(BaseModel):
    """A subject and a time to predict at."""

    model_config = ConfigDict(extra="forbid")

    subject_id: Annotated[
        str | int, BeforeValidator(_identifier), _schema(*_ID, description="Identifier of the subject, as in events.")
    ]
    time: Annotated[
        str,
        BeforeValidator(_required_day_or_time),
        WithJsonSchema({**_TIME, "description": f"{TIME_FORMAT}. A day means its end."}),
    ]


class PredictRequest(PredictOptions):
    """Events and the options of a prediction."""

    events: EventRows = Field(description="In any order, of one subject or of several.")
    prediction_times: Annotated[list[PredictionTime], Field(min_length=1)] | None = Field(
        default=None,
        description="For a model of the days clock: times to predict at, any number per subject, in place of as_of. "
        "Events after a time do not change the prediction at it.",
    )
