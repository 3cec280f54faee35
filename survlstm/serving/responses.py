"""What a predictor returns → the answers of the API, in the words of its schema; what is not known is null."""

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

POSITION = "The place of the subject in the request, by its first event: 0 for the first."


class ModelName(BaseModel):
    """Which model answers."""

    name: str
    format: int = Field(description="Version of the bundle's format.")
    version: str = Field(description="Version of the survlstm that exported it.")
    fingerprint: str = Field(description="Of the data that it was trained on.")


class PredictedRow(BaseModel):
    """A subject, or with per_visit one of its visits."""

    subject_id: str | int
    position: int = Field(description=POSITION)
    visit: int | None = Field(default=None, description="With per_visit: the number of the visit, 0 for the first.")
    landmark: datetime.datetime | None = Field(
        default=None, description="On the landmark clock: where the subject's curve begins."
    )
    history_end: datetime.datetime | None = Field(description="Time of the last visit that was read.")
    visits: int
    entries: int
    entries_unknown: int = Field(description="Entries whose code training did not know.")
    risk: float | None = Field(description="Probability of the event by the last time of grid.")
    percentile: float | None = Field(description="0 to 100: where the risk lies among the training subjects.")
    survival: list[float | None] = Field(description="Probability of no event by each of horizons.")
    curve: list[float | None] = Field(description="Probability of no event by each time of grid.")
    hazard: float | None = Field(
        default=None, description="On the visit clock: probability of the event in the step after the last visit read."
    )


class NotScored(BaseModel):
    """A subject without a prediction."""

    subject_id: str | int
    position: int | None = Field(description=POSITION)
    reason: str


class PredictResponse(BaseModel):
    """Predictions of all subjects of a request, in the order in which they first appear."""

    model: ModelName
    unit: Literal["visits", "days"] = Field(
        description="What grid and horizons count: visits ahead of the last one, or days after the landmark."
    )
    grid: list[float]
    horizons: list[float]
    predictions: list[PredictedRow]
    not_scored: list[NotScored]
    notes: list[str]


class CodeEffect(BaseModel):
    """A code of a record, and what the prediction would be without it."""

    code: str
    description: str | None
    effect: float | None = Field(
        description="Log-odds of the event with the code minus without it: above 0 it raises the risk."
    )
    entries: int
    last_time: datetime.datetime | None


class ExplainResponse(BaseModel):
    """The known codes of one subject's record, the most influential first."""

    model: ModelName
    subject_id: str | int
    codes: list[CodeEffect]
    codes_left_out: int = Field(description="Codes that matter less and are not among them, because of top.")
    notes: list[str]


class ModelResponse(BaseModel):
    """What a bundle says of itself."""

    model: ModelName
    unit: Literal["visits", "days"]
    grid: list[float]
    horizons: list[float]
    about: dict[str, Any]
    card: str = Field(description="The model card, Markdown.")
    banner: str = Field(description="Of a model of a drawn outcome: that it says nothing about patients. Else empty.")


class HealthResponse(BaseModel):
    """The server is up."""

    status: Literal["ok"]
    model: str
    uptime_seconds: float


def model_name(predictor: Predictor) -> ModelName:
    """Which model answers."""
    about = predictor.bundle.about
    return ModelName(name=about.name, format=FORMAT_VERSION, version=about.survlstm, fingerprint=about.fingerprint)


def predict_response(predictor: Predictor, found: SubjectPredictions, asked: ParsedRequest) -> PredictResponse:
    """The table in the order of the request, ids as they were sent."""
    positions = {name: position for position, name in enumerate(asked.as_sent)}
    horizons = check_horizons_reached(predictor.bundle, asked.options.horizons)
    rows = sorted(_rows(found.table), key=lambda row: positions[str(row["subject_id"])])
    return PredictResponse(
        model=model_name(predictor),
        unit=predictor.unit,
        grid=[float(time) for time in predictor.grid],
        horizons=list(horizons),
        predictions=[
            PredictedRow(
                subject_id=asked.as_sent[str(row["subject_id"])],
                position=positions[str(row["subject_id"])],
                visit=_whole(row.get("visit")),
                landmark=_time(row.get("landmark")),
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
                    subject_id=asked.as_sent.get(str(row["subject_id"]), str(row["subject_id"])),
                    position=positions.get(str(row["subject_id"])),
                    reason=str(row["reason"]),
                )
                for row in _rows(found.not_scored)
            ),
            key=lambda one: one.position or 0,
        ),
        notes=[*asked.notes, *found.notes],
    )


def explain_response(
    predictor: Predictor, table: pd.DataFrame, *, subject_id: str | int, top: int | None, notes: tuple[str, ...]
) -> ExplainResponse:
    """The first ``top`` codes."""
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
    """The card, and what a client must know to read a prediction."""
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
    # NaN becomes null where it is written.
    return None if value is None else float(value)


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)


def _time(value: Any) -> datetime.datetime | None:
    return None if value is None or pd.isna(value) else pd.Timestamp(value).to_pydatetime(warn=False)
