"""Build the HTTP application: predictions, explanations, the model card, a health check and a page."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from survlstm.serving.errors import RequestError, error_response, message_for_errors, message_for_status
from survlstm.serving.example import example_csv
from survlstm.serving.fields import ExplainQuery, PredictOptions
from survlstm.serving.middleware import AccessLog, BodyLimit, HeadAsGet, OriginCheck, RequestFacts
from survlstm.serving.openapi import EVENTS_BODY, REFUSALS, WITH_BODY, complete_schema
from survlstm.serving.page import write_page
from survlstm.serving.request_queue import RequestQueue
from survlstm.serving.requests import CSV, JSON, ParsedRequest, format_query_location, parse_media_type, parse_request
from survlstm.serving.responses import (
    ExplainResponse,
    HealthResponse,
    ModelResponse,
    PredictResponse,
    explain_response,
    model_response,
    predict_response,
)
from survlstm.utils.errors import SurvlstmError
from survlstm.utils.version import __version__

if TYPE_CHECKING:
    from survlstm.inference.predictor import Predictor

# A slower body is refused, because its request holds a place in the queue that others wait for.
BODY_SECONDS = 10.0
MARKDOWN = "text/markdown"
# There is no OpenAPI viewer: its scripts would have to be loaded from another server or added to the package.
DOCS = (
    "The API is described in openapi.json, beside this page: OpenAPI 3.1, which viewers and generators of clients "
    "read. The page to try it on is ./\n"
)


@dataclass(frozen=True)
class RequestLimits:
    """Limits on the requests that the server accepts.

    Attributes:
        max_body_bytes: Largest request body.
        max_events: Most events in a request.
        at_once: Predictions that are computed at the same time.
        waiting: Further requests for predictions that may wait.
        explain_waiting: Requests for explanations that may wait; one is computed at a time.
        explained_visits: Largest number of visits times distinct codes in the record of an explained subject. An
            explanation reads the record once for each of its codes.
        body_seconds: Seconds within which a body must arrive.
    """

    max_body_bytes: int
    max_events: int
    at_once: int = 2
    waiting: int = 16
    explain_waiting: int = 4
    explained_visits: int = 200_000
    body_seconds: float = BODY_SECONDS


class Application(FastAPI):
    """FastAPI with two request queues, and with a description of the bodies, which FastAPI does not read itself.

    Attributes:
        predicting: The queue for predictions.
        explaining: The queue for explanations.
    """

    def __init__(self, *, limits: RequestLimits, **settings: Any) -> None:
        super().__init__(**settings)
        self._max_events = limits.max_events
        self.predicting = RequestQueue(at_once=limits.at_once, waiting=limits.waiting)
        # A separate queue: predictions would wait for explanations, which read a record once for each of its codes.
        self.explaining = RequestQueue(at_once=1, waiting=limits.explain_waiting)

    def openapi(self) -> dict[str, Any]:
        """Return the complete OpenAPI description."""
        return complete_schema(super().openapi(), max_events=self._max_events)

    def end_jobs(self) -> bool:
        """Start no further jobs, without waiting; return whether all have finished."""
        return all([self.predicting.close(), self.explaining.close()])


def create_app(
    predictor: Predictor, limits: RequestLimits, *, host: str = "127.0.0.1", names: Sequence[str] = ()
) -> Application:
    """Build the application.

    The content of a request is neither stored nor logged. Every error response has the body ``{"error": "..."}``.

    Args:
        predictor: Computes the predictions.
        limits: Limits on the requests.
        host: The address at which the server listens; one of the accepted values of the header Host.
        names: Further accepted values, such as the name that a proxy uses.

    Returns:
        The ASGI application, with its middleware.
    """
    name = predictor.bundle.about.name
    app = Application(
        limits=limits,
        title=f"survlstm: {name}",
        description="Risk and survival of subjects from their coded events, by one trained model.",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    _add_posts(app, predictor, limits)
    _add_gets(app, predictor, limits)
    app.add_exception_handler(HTTPException, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse_query)
    # The middleware that is added last handles a request first.
    app.add_middleware(HeadAsGet)
    app.add_middleware(OriginCheck, host=host, names=names)
    app.add_middleware(BodyLimit, most_bytes=limits.max_body_bytes)
    app.add_middleware(AccessLog, paths=frozenset(route.path for route in app.routes if isinstance(route, Route)))
    return app


def _add_posts(app: Application, predictor: Predictor, limits: RequestLimits) -> None:
    @app.post("/predict", response_model=PredictResponse, responses=WITH_BODY, openapi_extra=EVENTS_BODY)
    async def predict(request: Request, query: Annotated[PredictOptions, Query()]) -> Response:
        """Risk, percentile and survival of every subject, or at each prediction time.

        Options may be given in the body or in the query.
        """

        def job(parsed: ParsedRequest) -> PredictResponse:
            predictions = predictor.predict(
                parsed.events,
                per_visit=parsed.options.per_visit,
                horizons=parsed.options.horizons,
                as_of=parsed.as_of,
            )
            return predict_response(predictor, predictions, parsed)

        return await _respond(request, query, job, limits=limits, queue=app.predicting)

    @app.post("/explain", response_model=ExplainResponse, responses=WITH_BODY, openapi_extra=EVENTS_BODY)
    async def explain(request: Request, query: Annotated[ExplainQuery, Query()]) -> Response:
        """Effect of each code of one subject on its prediction, the largest first.

        The body is the same as for /predict; per_visit, horizons and prediction_times are ignored: one prediction is
        explained, that as_of says.
        """

        def job(parsed: ParsedRequest) -> ExplainResponse:
            subject = _one_subject(parsed, query.subject)
            events = parsed.events[parsed.events["subject_id"] == subject].reset_index(drop=True)
            table = predictor.explain(events, as_of=parsed.options.as_of, most_readings=limits.explained_visits)
            notes = (*parsed.notes, *table.attrs["notes"])
            return explain_response(predictor, table, subject_id=parsed.as_sent[subject], top=query.top, notes=notes)

        return await _respond(request, query, job, limits=limits, queue=app.explaining)


def _add_gets(app: FastAPI, predictor: Predictor, limits: RequestLimits) -> None:
    began = time.monotonic()
    model, example = model_response(predictor), example_csv(predictor)
    page = write_page(model, max_body_bytes=limits.max_body_bytes)

    @app.get("/health", response_model=HealthResponse, responses=REFUSALS)
    async def health() -> HealthResponse:
        """Status of the server, and for how long it has been running."""
        return HealthResponse(status="ok", model=model.model.name, uptime_seconds=time.monotonic() - began)

    @app.get("/model", responses={**REFUSALS, 200: {"model": ModelResponse, "content": {MARKDOWN: {}}}})
    async def card(request: Request) -> Response:
        """Description of the model; only its card for clients that accept text/markdown."""
        if MARKDOWN in request.headers.get("accept", "").lower():
            return Response(model.card, media_type=f"{MARKDOWN}; charset=utf-8")
        return _json(model)

    @app.get("/example", response_class=Response, responses={**REFUSALS, 200: {"content": {CSV: {}}}})
    async def one_example() -> Response:
        """Record of an invented patient, as a table of events that /predict accepts."""
        return Response(example, media_type=f"{CSV}; charset=utf-8")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return Response(DOCS, media_type="text/plain; charset=utf-8")

    @app.get("/", include_in_schema=False)
    async def try_it() -> Response:
        return Response(page.html, media_type="text/html", headers={"content-security-policy": page.policy})


async def _respond(
    request: Request,
    query: PredictOptions,
    job: Callable[[ParsedRequest], BaseModel],
    *,
    limits: RequestLimits,
    queue: RequestQueue,
) -> Response:
    """Read the body, then run the job in a thread of the queue."""
    media_type = _media_type(request)
    with queue.admit():
        try:
            body = await asyncio.wait_for(request.body(), limits.body_seconds)
        except TimeoutError:
            sentence = (
                f"a body must arrive within {limits.body_seconds:g} seconds; found it incomplete. Send less at once"
            )
            raise RequestError(408, sentence) from None
        work = partial(_work, request, body, media_type, query, job, max_events=limits.max_events)
        return await queue.run(work)


def _work(
    request: Request,
    body: bytes,
    media_type: str,
    query: PredictOptions,
    job: Callable[[ParsedRequest], BaseModel],
    *,
    max_events: int,
) -> Response:
    parsed = parse_request(body, media_type, query, max_events=max_events)
    request.state.facts = RequestFacts(events=len(parsed.events), subjects=len(parsed.as_sent))
    try:
        return _json(job(parsed))
    except SurvlstmError as error:
        raise RequestError(422, str(error)) from None


def _media_type(request: Request) -> str:
    media_type, parameters = parse_media_type(request.headers.get("content-type"))
    if media_type not in {JSON, CSV}:
        raise RequestError(415, f"Content-Type must be {JSON} or {CSV}; found {'another' if media_type else 'none'}")
    if parameters.get("charset", "utf-8") not in {"utf-8", "utf8"}:
        raise RequestError(415, "the charset of a body must be utf-8; found another")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise RequestError(415, "a body must be sent as it is; found a Content-Encoding. Send it uncompressed")
    return media_type


def _one_subject(parsed: ParsedRequest, position: int | None) -> str:
    subjects = list(parsed.as_sent)
    if position is None and len(subjects) > 1:
        raise RequestError(
            422,
            f"one subject at a time is explained; found {len(subjects)}. Choose one in the query: subject=0 is the "
            "first one in the body",
        )
    if (position or 0) >= len(subjects):
        raise RequestError(
            422, f"subject in the query must be below the number of subjects, {len(subjects)}; found more"
        )
    return subjects[position or 0]


def _json(content: BaseModel) -> Response:
    # Serialised in the job's thread, so that it does not block the event loop; NaN becomes null.
    return Response(content.model_dump_json(), media_type=JSON)


async def _refuse(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    sentence = error.detail if isinstance(error, RequestError) else message_for_status(error.status_code)
    return error_response(error.status_code, sentence, error.headers)


async def _refuse_query(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    schema = ExplainQuery if request.url.path == "/explain" else PredictOptions
    return error_response(
        422,
        message_for_errors(
            error.errors(), format_location=format_query_location, known_fields=lambda _: schema.model_fields
        ),
    )
