"""Schemas of metrics.json and cohort.json, the parts of a bundle that are shown to users.

Nothing is computed from these files. A value that could not be computed is null, and keys that this version does not
know are kept.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from survlstm.config.schema.section import Share
from survlstm.data.values.settings import ValueForm

Count = Annotated[int, Field(ge=0)]
Role = Literal["model", "oracle", "baseline"]


class _Reported(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False, frozen=True)


class _Interval(_Reported):
    low: float | None
    high: float | None

    @model_validator(mode="after")
    def _rises(self) -> _Interval:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low must not be above high; found {self.low:g} to {self.high:g}")
        return self


class _Estimate(_Reported):
    value: float | None
    interval: _Interval | None


class _Difference(_Reported):
    value: float | None
    interval: _Interval
    p: Share | None


class _StepRow(_Reported):
    name: str
    role: Role
    c_td: _Estimate
    nll: _Estimate
    c_td_difference: _Difference | None
    nll_difference: _Difference | None


class _HorizonCell(_Reported):
    horizon: float
    c_harrell: _Estimate | None
    c_uno: _Estimate | None
    auc: _Estimate | None
    brier: _Estimate | None
    nbll: _Estimate | None
    d_calibration: Share | None


class _LandmarkRow(_Reported):
    name: str
    role: Role
    cells: list[_HorizonCell] = Field(min_length=1)
    ibs: _Estimate | None
    inbll: _Estimate | None


class _Landmark(_Reported):
    name: str
    unit: Literal["steps", "days"]
    at_risk: Count
    events: Count
    horizons: list[float] = Field(min_length=1)
    rows: list[_LandmarkRow]
    notes: list[str]


class _TestEvaluation(_Reported):
    clock: Literal["visit", "landmark", "days"]
    split: str
    subjects: Count
    events: Count
    rows: list[_StepRow]
    landmarks: list[_Landmark]
    lines: list[str]
    notes: list[str]
    conventions: dict[str, str]


class _Finding(_Reported):
    check: str
    level: Literal["ok", "note", "warning", "failure"]
    finding: str
    evidence: str
    advice: list[str]


class _Training(_Reported):
    best_epoch: int = Field(ge=0)
    val_loss: float | None
    val_c_td: float | None
    parameters: int = Field(ge=1)
    parameters_per_subject: float = Field(gt=0)
    stopped: str


class ReportedMetrics(_Reported):
    """Content of metrics.json: the evaluation on the test subjects and facts about the training.

    Attributes:
        test: metrics of the model, the baselines and the oracle on the test subjects.
        diagnostics: findings of the checks of the run.
        training: epoch, losses and size of the model.
    """

    test: _TestEvaluation
    diagnostics: list[_Finding]
    training: _Training


class _Spread(_Reported):
    quartile_1: float
    median: float
    quartile_3: float


class _TrainingSubjects(_Reported):
    subjects: Count
    events: Count
    visits_seen: _Spread
    codes_per_visit: _Spread
    follow_up_days: _Spread
    years: list[int] = Field(min_length=2, max_length=2)


class _Subjects(_Reported):
    train: Count
    val: Count
    test: Count


class _CommonCode(_Reported):
    code: str
    description: str
    share_of_training_subjects: Share


class _Excluded(_Reported):
    reason: str
    subjects: str
    events: str


class _Values(_Reported):
    form: ValueForm
    measures: Count
    with_bins: Count
    with_columns: Count


class _RowsLeftOut(_Reported):
    reason: str
    rows: str


class _PredictionTimes(_Reported):
    times: str
    rows: Count
    subjects: Count
    rows_with_event: Count
    rows_per_subject: _Spread
    days_since_last_visit: _Spread
    days_between_visits: _Spread | None
    left_out: list[_RowsLeftOut]


class TrainingCohort(_Reported):
    """Content of cohort.json: the subjects that trained the model.

    Attributes:
        subjects: number of subjects of each split.
        training: events, numbers of visits and codes, follow-up and years of the training subjects.
        prediction_times: on the days clock, the rules of the training's prediction times in words, the number of
            training rows and of their subjects, and the days from the last visit to a row and from visit to visit; None
            on the other clocks.
        vocabulary: number of entries of the vocabulary.
        codes_of_fewer_than_ten_training_subjects: number of codes in the vocabulary that so few subjects have.
        entries_unknown_to_it: number of entries with codes outside the vocabulary, and of these codes.
        values: how numerical values are used, and the number of pairs of code and unit in all, with bins and with
            columns; None in bundles of versions that used no values.
        most_common_codes: codes that most training subjects have.
        excluded: number of excluded subjects by reason, suppressed below ten.
        warnings: warnings about the data.
    """

    subjects: _Subjects
    training: _TrainingSubjects
    prediction_times: _PredictionTimes | None = None
    vocabulary: Count
    codes_of_fewer_than_ten_training_subjects: Count
    entries_unknown_to_it: dict[str, Count]
    values: _Values | None = None
    most_common_codes: list[_CommonCode]
    excluded: list[_Excluded]
    warnings: list[str]


def validate_reported(kind: type[ReportedMetrics | TrainingCohort], plain: Any) -> dict[str, Any]:
    """Check parsed JSON against a schema.

    Args:
        kind: the schema.
        plain: the parsed JSON.

    Returns:
        ``plain`` itself, with any keys that the schema does not name.

    Raises:
        pydantic.ValidationError: ``plain`` does not fit the schema; a ValueError.
    """
    kind.model_validate(plain)
    checked: dict[str, Any] = plain
    return checked
