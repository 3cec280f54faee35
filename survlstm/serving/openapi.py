"""What FastAPI can't know of the API → its OpenAPI description: bodies that are read by hand, and every refusal."""

from __future__ import annotations

from typing import Any

from survlstm.serving.errors import ErrorResponse
from survlstm.serving.fields import PredictRequest
from survlstm.serving.requests import CSV, JSON

_EVENTS = [
    {"subject_id": "p1", "time": "1957-03-21", "code": "MEDS_BIRTH"},
    {"subject_id": "p1", "time": "2019-11-04T10:20:00", "code": "SNOMED/44054006", "encounter_id": "e1"},
    {"subject_id": "p1", "time": "2020-01-31T12:00:00", "code": "LOINC/4548-4", "numeric_value": 7.1},
]
_TABLE = (
    "subject_id,time,code,numeric_value,encounter_id\np1,1957-03-21,MEDS_BIRTH,,\n"
    "p1,2019-11-04T10:20:00,SNOMED/44054006,,e1\np1,2020-01-31T12:00:00,LOINC/4548-4,7.1,\n"
)
EVENTS_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {"schema": {"$ref": "#/components/schemas/PredictRequest"}, "example": {"events": _EVENTS}},
            CSV: {
                "schema": {
                    "type": "string",
                    "description": "The same fields as columns, named in the first line; options stand in the query.",
                },
                "example": _TABLE,
            },
        },
    }
}


def _refusals(**why: str) -> dict[int | str, dict[str, Any]]:
    return {int(name.removeprefix("_")): {"model": ErrorResponse, "description": text} for name, text in why.items()}


REFUSALS = _refusals(
    _413="The body is too large.",
    _421="The Host is not a name of this server.",
    _500="survlstm failed; its log says where.",
)
WITH_BODY = REFUSALS | _refusals(
    _403="Sent by a page of another origin.",
    _408="The body took too long.",
    _413="The body is too large, or holds too many events.",
    _415="Neither JSON nor CSV, or not in plain UTF-8.",
    _422="The body or the query is not as it must be, or the model can't answer it.",
    _503="Too many requests at once; ask again in a moment.",
)


def complete_schema(schema: dict[str, Any], *, max_events: int) -> dict[str, Any]:
    """Add the schema of a request, and where the server is, to FastAPI's own; changes and returns ``schema``."""
    # Relative to this document, so that clients find the paths behind a proxy's prefix too.
    schema["servers"] = [{"url": "."}]
    request = PredictRequest.model_json_schema(ref_template="#/components/schemas/{model}")
    request["properties"]["events"] |= {"minItems": 1, "maxItems": max_events}
    schema["components"]["schemas"] |= {**request.pop("$defs"), "PredictRequest": request}
    return schema
