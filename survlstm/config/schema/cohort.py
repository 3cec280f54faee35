"""Schema of the section ``cohort``: rules, a file or a sample that select the subjects of a run."""

from __future__ import annotations

import datetime
import difflib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from survlstm.config.schema.outcome import MAX_DAYS, are_codes
from survlstm.config.schema.section import PositiveInt, Section, Text

Years = Annotated[float, Field(ge=0, le=150)]
Days = Annotated[float, Field(ge=0, le=MAX_DAYS)]
# The endings of a cohort file.
ENDINGS = (".csv", ".parquet")


class AgeBounds(Section):
    """Bounds of the age at the prediction time, in years; a birthday belongs to the new age.

    Attributes:
        at_least: The lowest age; None means no lower bound.
        below: The age that must not be reached; None means no upper bound.
    """

    at_least: Years | None = None
    below: Years | None = None

    @model_validator(mode="after")
    def _some_age(self) -> AgeBounds:
        if self.at_least is None and self.below is None:
            raise ValueError("must give at_least, below or both, as in {at_least: 18, below: 90}; found neither")
        if self.at_least is not None and self.below is not None and self.at_least >= self.below:
            raise ValueError(f"at_least must be lower than below; found {self.at_least:g} and {self.below:g}")
        return self


class AtLeast(Section):
    """A lower bound of a number of visits.

    Attributes:
        at_least: The smallest number.
    """

    at_least: PositiveInt


class AtLeastDays(Section):
    """A lower bound of a number of days.

    Attributes:
        at_least: The smallest number of days.
    """

    at_least: Days


class DateBounds(Section):
    """Calendar days between which the prediction time lies, both included.

    Attributes:
        first: The first day, YYYY-MM-DD; None means no first day. Its key is ``from``.
        last: The last day, YYYY-MM-DD; None means no last day. Its key is ``to``.
    """

    first: str | None = Field(alias="from", default=None)
    last: str | None = Field(alias="to", default=None)

    @field_validator("first", "last")
    @classmethod
    def _is_a_day(cls, day: str | None) -> str | None:
        try:
            if day is not None and datetime.date.fromisoformat(day).isoformat() != day:
                raise ValueError
        except ValueError:
            raise ValueError(f"must be a day, written YYYY-MM-DD; found {day!r}") from None
        return day

    @model_validator(mode="after")
    def _some_day(self) -> DateBounds:
        if self.first is None and self.last is None:
            raise ValueError("must give from, to or both, as in {from: 2010-01-01, to: 2019-12-31}; found neither")
        if self.first is not None and self.last is not None and self.first > self.last:
            raise ValueError(f"from must not be later than to; found {self.first} and {self.last}")
        return self


class AgeRuleConfig(Section):
    """A rule on the age at the prediction time.

    Attributes:
        age: The bounds.
    """

    age: AgeBounds


class CodesRuleConfig(Section):
    """A rule on the codes of the visits on or before the prediction time.

    Attributes:
        match: Whether a visit's code must equal one of the codes, begin with one, or lie below one in the source's
            hierarchy.
        codes: The codes, as SYSTEM/CODE; a visit counts if it has one of them.
        within_days: Only visits at most so many days before the prediction time count; None means all before it.
        at_least: The smallest number of such visits.
    """

    # Validated before the codes, whose form depends on it.
    match: Literal["exact", "prefix", "descendants"] = "exact"
    codes: Annotated[list[Any], Field(min_length=1)]
    within_days: Days | None = None
    at_least: PositiveInt = 1

    @field_validator("codes")
    @classmethod
    def _codes_of_systems(cls, codes: list[Any], info: ValidationInfo) -> list[str]:
        if info.data.get("match") != "prefix":
            return are_codes(codes)
        # The beginning of a code may be its system alone, as in ICD10/.
        for code in codes:
            if not isinstance(code, str) or code != code.strip() or not code:
                raise ValueError(f"each must be the beginning of a code, as in ICD10/E11; found {code!r}")
        return codes


class VisitsRuleConfig(Section):
    """A rule on the number of visits on or before the prediction time.

    Attributes:
        visits: The bound.
    """

    visits: AtLeast


class HistoryRuleConfig(Section):
    """A rule on the days from the first visit to the prediction time.

    Attributes:
        history_days: The bound.
    """

    history_days: AtLeastDays


class DatesRuleConfig(Section):
    """A rule on the calendar date of the prediction time.

    Attributes:
        dates: The bounds.
    """

    dates: DateBounds


# The keys beside the one that names the kind of a rule, and the keys of its value where that is a mapping.
BESIDE: dict[str, tuple[str, ...]] = {
    "age": (),
    "codes": ("match", "within_days", "at_least"),
    "visits": (),
    "history_days": (),
    "dates": (),
}
WITHIN: dict[str, tuple[str, ...]] = {
    "age": ("at_least", "below"),
    "visits": ("at_least",),
    "history_days": ("at_least",),
    "dates": ("from", "to"),
}
EXAMPLES = (
    "{age: {at_least: 18}}, {codes: [SNOMED/44054006]}, {visits: {at_least: 3}}, {history_days: {at_least: 365}} "
    "or {dates: {from: 2010-01-01}}"
)


def _check_shape(rule: Any) -> Any:
    """Raise ValueError unless a rule is a mapping of one kind without unknown keys."""
    if isinstance(rule, Section):
        return rule
    if not isinstance(rule, dict):
        raise ValueError(f"must be a mapping of one kind, such as {EXAMPLES}; found {rule!r}")
    kinds = [name for name in BESIDE if name in rule]
    known = [*BESIDE, *(key for kind in kinds or BESIDE for key in BESIDE[kind])]
    unknown = [str(key) for key in rule if key not in known]
    if unknown:
        raise ValueError(f"{unknown[0]} is not a known key of a rule{_nearest(unknown[0], known)}")
    if len(kinds) > 1:
        raise ValueError(
            f"must be of one kind; found {' and '.join(kinds)} in one rule. Write a rule of its own for each: all "
            "rules of cohort.include must hold, and none of cohort.exclude"
        )
    if not kinds:
        raise ValueError(f"must be of one of the kinds {', '.join(BESIDE)}, such as {EXAMPLES}; found none")
    kind, value = kinds[0], rule[kinds[0]]
    if kind in WITHIN:
        if not isinstance(value, dict):
            raise ValueError(f"{kind} must be a mapping with {' or '.join(WITHIN[kind])}; found {value!r}")
        for key in value:
            if key not in WITHIN[kind]:
                raise ValueError(f"{key} is not a known key of {kind}{_nearest(str(key), WITHIN[kind])}")
    return rule


def _nearest(key: str, known: Any) -> str:
    close = difflib.get_close_matches(key, list(known), n=1, cutoff=0.5)
    return f"; the nearest valid key is {close[0]}" if close else f"; its keys are {', '.join(known)}"


def _kind_of(rule: Any) -> str:
    keys = rule if isinstance(rule, dict) else type(rule).model_fields
    return f"cohort.{next((name for name in BESIDE if name in keys), 'none')}"


RuleConfig = Annotated[
    Annotated[AgeRuleConfig, Tag("cohort.age")]
    | Annotated[CodesRuleConfig, Tag("cohort.codes")]
    | Annotated[VisitsRuleConfig, Tag("cohort.visits")]
    | Annotated[HistoryRuleConfig, Tag("cohort.history_days")]
    | Annotated[DatesRuleConfig, Tag("cohort.dates")],
    Discriminator(_kind_of),
    BeforeValidator(_check_shape),
]


class CohortConfig(Section):
    """The subjects of a run, beside what the outcome and the clock require.

    Attributes:
        include: Rules that all must hold at the prediction time.
        exclude: Rules of which none may hold at the prediction time.
        file: A .csv or .parquet file with subject_id and optionally prediction_time; other subjects are left out.
        sample: The number of subjects of a stable sample, for trying things out; None means all.
    """

    include: list[RuleConfig] = Field(default=[])
    exclude: list[RuleConfig] = Field(default=[])
    file: Text | None = None
    sample: PositiveInt | None = None

    @field_validator("file")
    @classmethod
    def _is_a_table(cls, file: str | None, info: ValidationInfo) -> str | None:
        return file if file is None else check_cohort_file(file, info)


def check_cohort_file(file: str, info: ValidationInfo) -> str:
    """Raise ValueError unless a path has the ending of a cohort file and exists.

    Args:
        file: The path.
        info: The context of the validation; the file of a finished run need no longer exist.

    Returns:
        The path, unchanged.
    """
    if not file.endswith(ENDINGS):
        raise ValueError(f"must end in .csv or .parquet; found {file!r}")
    if not (info.context and info.context.get("finished")) and not Path(file).expanduser().is_file():
        raise ValueError(f"must be a file with the column subject_id; found {file!r}, which is no file")
    return file
