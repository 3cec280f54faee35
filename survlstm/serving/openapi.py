"""Complete the OpenAPI description with what FastAPI can't infer: request bodies and error responses."""

from __future__ import annotations

from typing import Any

from survlstm.serving.errors import ErrorResponse
from survlstm.serving.fields import PredictRequest
from survlstm.serving.requests import CSV, JSON

_EVENTS = [
    {"subject_id": "p1", "time": "1957-03-21", "code": "MEDS_BIRTH"},
    {"subject_id": "p1", "time": "2019-11-04T10:20:00", "code": "SNOMED/44054006", "encounter_id": "e1"},
    {"subject_id": "p1", "time": "2020-01-31T12:00:00", "code": "LOINC/4548-4", "numeric_value": 7.1, "unit": "%"},
]
_TABLE = (
    "subject_id,time,code,numeric_value,unit,encounter_id\np1,1957-03-21,MEDS_BIRTH,,,\n"
    "p1,2019-11-04T10:20:00,SNOMED/44054006,,,e1\np1,2020-01-31T12:00:00,LOINC/4548-4,7.1,%,\n"
)
EVENTS_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {"schema": {"$ref": "#/components/schemas/PredictRequest"}, "example": {"events": _EVENTS}},
            CSV: {
                "schema": {
                    "type": "string",
                    "description": "The same fields as columns, named in the first line; options go into the query.",
                },
                "example": _TABLE,
            },
        },
    }
}


def _error_responses(**descriptions: str) -> dict[int | str, dict[str, Any]]:
    return {
        int(name.removeprefix("_")): {"model": ErrorResponse, "description": text}
        for name, text in descriptions.items()
    }


REFUSALS = _error_responses(
    _413="The body is too large.",
    _421="The header Host is not a name of this server.",
    _500="survlstm failed; its log names the line.",
)
WITH_BODY = REFUSALS | _error_responses(
    _403="The request was sent by a page of another origin.",
    _408="The body did not arrive in time.",
    _413="The body is too large, or holds too many events.",
    _415="The body is neither JSON nor CSV, not UTF-8, or compressed.",
    _422="The body or the query is invalid, or the model can't answer it.",
    _503="Too many requests at once; try again in a moment.",
)


def complete_schema(schema: dict[str, Any], *, max_events: int) -> dict[str, Any]:
    """Add the schema of a request and the address of the server to FastAPI's description, in place.

    Args:
        schema: FastAPI's description.
        max_events: Most events in a request.

    Returns:
        The same dictionary.
    """
    # Relative to this document, so that the paths are right behind a proxy that adds a prefix.
    schema["servers"] = [{"url": "."}]
    request = PredictRequest.model_json_schema(ref_template="#/components/schemas/{model}")
    request["properties"]["events"] |= {"minItems": 1, "maxItems": max_events}
    schema["components"]["schemas"] |= {**request.pop("$defs"), "PredictRequest": request}
    return schema
