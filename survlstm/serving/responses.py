"""Define the responses of the API, and build them from what the predictor returns."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
from pydantic import BaseModel, Field

from survlstm.inference.bundle.container import FORMAT_VERSION
from survlstm.inference.score_subjects import check_horizons_reached
from survlstm.serving.requests import ParsedRequest

if TYPE_CHECKING:
    from survlstm.inference.predictor import Predictor
    from survlstm.inference.score_subjects import SubjectPredictions

POSITION = "Position of the subject in the request, by its first event: 0 for the first."


class ModelName(BaseModel):
    """The model of the server."""

    name: str
    format: int = Field(description="Version of the bundle's format.")
    version: str = Field(description="Version of the survlstm that exported it.")
    fingerprint: str = Field(description="Fingerprint of the data that it was trained on.")


class PredictedRow(BaseModel):
    """Prediction for a subject, with per_visit for one of its visits, or for one of its prediction times."""

    subject_id: str | int
    position: int = Field(description=POSITION)
    visit: int | None = Field(default=None, description="With per_visit: number of the visit, 0 for the first.")
    landmark: datetime.datetime | None = Field(
        default=None, description="On the landmark clock: time zero of the subject's curve."
    )
    prediction_time: datetime.datetime | None = Field(
        default=None, description="On the days clock: time zero of the subject's curve."
    )
    history_age_days: float | None = Field(
        default=None, description="On the days clock: days from history_end to prediction_time."
    )
    is_stale: bool | None = Field(
        default=None,
        description="On the days clock: whether so old a record is rare in the training, 1 in 20 or less.",
    )
    history_end: datetime.datetime | None = Field(description="Time of the last visit that the prediction uses.")
    visits: int
    entries: int = Field(
        description="Entries that the prediction uses; static facts and fused codes of values are not counted."
    )
    entries_unknown: int = Field(description="Entries whose code is not in the model's vocabulary.")
    risk: float | None = Field(description="Probability of the event by the last time of grid.")
    percentile: float | None = Field(description="Percentile of the risk among the training subjects, 0 to 100.")
    survival: list[float | None] = Field(description="Probability of no event by each of horizons.")
    curve: list[float | None] = Field(description="Probability of no event by each time of grid.")
    hazard: float | None = Field(
        default=None, description="On the visit clock: probability of the event in the step after the last visit used."
    )


class NotScored(BaseModel):
    """A subject without a prediction, on the days clock at one of its prediction times."""

    subject_id: str | int
    position: int | None = Field(description=f"{POSITION} Null for a subject without events.")
    prediction_time: datetime.datetime | None = Field(
        default=None, description="On the days clock: the time without a prediction; null if there is none."
    )
    reason: str


class PredictResponse(BaseModel):
    """Predictions of all subjects of a request, in the order in which they first appear."""

    model: ModelName
    unit: Literal["visits", "days"] = Field(
        description="Unit of grid and horizons: visits after the last one, or days after landmark or prediction time."
    )
    grid: list[float]
    horizons: list[float]
    predictions: list[PredictedRow]
    not_scored: list[NotScored]
    notes: list[str]


class CodeEffect(BaseModel):
    """Effect of a code on the prediction."""

    code: str
    description: str | None
    effect: float | None = Field(
        description="Log-odds of the event with the code minus those without it; above 0 the code raises the risk."
    )
    entries: int
    last_time: datetime.datetime | None


class ExplainResponse(BaseModel):
    """Effects of the known codes of one subject, the largest first."""

    model: ModelName
    subject_id: str | int
    codes: list[CodeEffect]
    codes_left_out: int = Field(description="Codes with smaller effects that are left out because of top.")
    notes: list[str]


class ModelResponse(BaseModel):
    """Description of the model."""

    model: ModelName
    unit: Literal["visits", "days"]
    grid: list[float]
    horizons: list[float]
    about: dict[str, Any]
    card: str = Field(description="The model card, in Markdown.")
    banner: str = Field(
        description="For a model of a simulated outcome: that it says nothing about patients. Otherwise empty."
    )


class HealthResponse(BaseModel):
    """Status of the server."""

    status: Literal["ok"]
    model: str
    uptime_seconds: float


def model_name(predictor: Predictor) -> ModelName:
    """Return name, versions and fingerprint of the model.

    Args:
        predictor: The predictor, with its bundle.

    Returns:
        The part of a response that says which model answered.
    """
    about = predictor.bundle.about
    return ModelName(name=about.name, format=FORMAT_VERSION, version=about.survlstm, fingerprint=about.fingerprint)


def predict_response(predictor: Predictor, predictions: SubjectPredictions, parsed: ParsedRequest) -> PredictResponse:
    """Build the response of /predict: subjects in the order of the request, identifiers as they were sent.

    Args:
        predictor: The predictor that made the predictions.
        predictions: Its predictions for ``parsed.events``.
        parsed: The request.

    Returns:
        The response. A subject can have several rows, in the order of its visits or prediction times.

    Raises:
        ConfigError: A requested horizon is not above 0, lies after the end of the curves, or is not a whole number of
            visits.
    """
    positions = {name: position for position, name in enumerate(parsed.as_sent)}
    horizons = check_horizons_reached(predictor.bundle, parsed.options.horizons)
    rows = sorted(_rows(predictions.table), key=lambda row: positions[str(row["subject_id"])])
    return PredictResponse(
        model=model_name(predictor),
        unit=predictor.unit,
        grid=[float(time) for time in predictor.grid],
        horizons=list(horizons),
        predictions=[
            PredictedRow(
                subject_id=parsed.as_sent[str(row["subject_id"])],
                position=positions[str(row["subject_id"])],
                visit=_integer(row.get("visit")),
                landmark=_time(row.get("landmark")),
                prediction_time=_time(row.get("prediction_time")),
                history_age_days=_number(row.get("history_age_days")),
                is_stale=None if row.get("is_stale") is None else bool(row["is_stale"]),
                history_end=_time(row["history_end"]),
                visits=int(row["visits"]),
                entries=int(row["entries"]),
                entries_unknown=int(row["entries_unknown"]),
                risk=_number(row["risk"]),
                percentile=_number(row["percentile"]),
                survival=[_number(row[f"survival_{horizon:g}"]) for horizon in horizons],
                curve=[_number(value) for value in row["curve"]],
                hazard=_number(row.get("hazard")),
            )
            for row in rows
        ],
        not_scored=sorted(
            (
                NotScored(
                    subject_id=parsed.as_sent.get(str(row["subject_id"]), str(row["subject_id"])),
                    position=positions.get(str(row["subject_id"])),
                    prediction_time=_time(row.get("prediction_time")),
                    reason=str(row["reason"]),
                )
                for row in _rows(predictions.not_scored)
            ),
            key=lambda one: one.position or 0,
        ),
        notes=[*parsed.notes, *predictions.notes],
    )


def explain_response(
    predictor: Predictor, table: pd.DataFrame, *, subject_id: str | int, top: int | None, notes: tuple[str, ...]
) -> ExplainResponse:
    """Build the response of /explain.

    Args:
        predictor: The predictor.
        table: Effects of the codes, the largest first.
        subject_id: The identifier as it was sent.
        top: Largest number of codes to return; None for all.
        notes: Notes for the user.

    Returns:
        The response, with the codes in the order of ``table``.
    """
    rows = list(_rows(table if top is None else table.head(top)))
    return ExplainResponse(
        model=model_name(predictor),
        subject_id=subject_id,
        codes=[
            CodeEffect(
                code=str(row["code"]),
                description=str(row["description"]) or None,
                effect=_number(row["effect"]),
                entries=int(row["entries"]),
                last_time=_time(row["last_time"]),
            )
            for row in rows
        ],
        codes_left_out=len(table) - len(rows),
        notes=list(notes),
    )


def model_response(predictor: Predictor) -> ModelResponse:
    """Build the response of /model: the card, and what a client needs to interpret a prediction.

    Args:
        predictor: The predictor, with its bundle.

    Returns:
        The response.
    """
    return ModelResponse(
        model=model_name(predictor),
        unit=predictor.unit,
        grid=[float(time) for time in predictor.grid],
        horizons=[float(time) for time in predictor.horizons],
        about=predictor.bundle.about.model_dump(),
        card=predictor.bundle.card,
        banner=predictor.banner,
    )


def _rows(table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    names = [str(name) for name in table.columns]
    for values in table.itertuples(index=False, name=None):
        yield dict(zip(names, values, strict=True))


def _number(value: Any) -> float | None:
    # NaN becomes null when the response is serialised.
    return None if value is None else float(value)


def _integer(value: Any) -> int | None:
    return None if value is None else int(value)


def _time(value: Any) -> datetime.datetime | None:
    return None if value is None or pd.isna(value) else pd.Timestamp(value).to_pydatetime(warn=False)
