"""The figures that a bundle shows to people, as metrics.json and cohort.json hold them: what must be a number is one.

Nothing is computed from them; keys that this version does not know are left alone. A figure that could not be computed
is null.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from survlstm.config.schema.section import Share

Count = Annotated[int, Field(ge=0)]
Role = Literal["model", "oracle", "baseline"]


class _Told(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False, frozen=True)


class _Interval(_Told):
    low: float | None
    high: float | None

    @model_validator(mode="after")
    def _rises(self) -> _Interval:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"an interval must not end below its beginning; found {self.low:g} to {self.high:g}")
        return self


class _Estimate(_Told):
    value: float | None
    interval: _Interval | None


class _Difference(_Told):
    value: float | None
    interval: _Interval
    p: Share | None


class _Row(_Told):
    name: str
    role: Role
    c_td: _Estimate
    nll: _Estimate
    c_td_difference: _Difference | None
    nll_difference: _Difference | None


class _Cell(_Told):
    horizon: float
    c_harrell: _Estimate | None
    c_uno: _Estimate | None
    auc: _Estimate | None
    brier: _Estimate | None
    nbll: _Estimate | None
    d_calibration: Share | None


class _LandmarkRow(_Told):
    name: str
    role: Role
    cells: list[_Cell] = Field(min_length=1)
    ibs: _Estimate | None
    inbll: _Estimate | None


class _Landmark(_Told):
    name: str
    unit: Literal["steps", "days"]
    at_risk: Count
    events: Count
    horizons: list[float] = Field(min_length=1)
    rows: list[_LandmarkRow]
    notes: list[str]


class _Judged(_Told):
    clock: Literal["visit", "landmark"]
    split: str
    subjects: Count
    events: Count
    rows: list[_Row]
    landmarks: list[_Landmark]
    lines: list[str]
    notes: list[str]
    conventions: dict[str, str]


class _Finding(_Told):
    check: str
    level: Literal["ok", "note", "warning", "failure"]
    finding: str
    evidence: str
    advice: list[str]


class _Training(_Told):
    best_epoch: int = Field(ge=1)
    val_loss: float | None
    val_c_td: float | None
    parameters: int = Field(ge=1)
    parameters_per_subject: float = Field(gt=0)
    stopped: str


class ReportedMetrics(_Told):
    """metrics.json of a bundle: how good the model is, and how it was trained."""

    test: _Judged
    diagnostics: list[_Finding]
    training: _Training


class _Spread(_Told):
    quartile_1: float
    median: float
    quartile_3: float


class _Trained(_Told):
    subjects: Count
    events: Count
    visits_seen: _Spread
    codes_per_visit: _Spread
    follow_up_days: _Spread
    years: list[int] = Field(min_length=2, max_length=2)


class _Subjects(_Told):
    train: Count
    val: Count
    test: Count


class _CommonCode(_Told):
    code: str
    description: str
    share_of_training_subjects: Share


class _Excluded(_Told):
    reason: str
    subjects: str
    events: str


class TrainingCohort(_Told):
    """cohort.json of a bundle: the subjects that trained the model."""

    subjects: _Subjects
    training: _Trained
    vocabulary: Count
    codes_of_fewer_than_ten_training_subjects: Count
    entries_unknown_to_it: dict[str, Count]
    most_common_codes: list[_CommonCode]
    excluded: list[_Excluded]
    warnings: list[str]


def validate_reported(kind: type[ReportedMetrics | TrainingCohort], plain: Any) -> dict[str, Any]:
    """Return ``plain`` as it is; pydantic's ValidationError, a ValueError, where it is not of this kind."""
    kind.model_validate(plain)
    found: dict[str, Any] = plain
    return found
