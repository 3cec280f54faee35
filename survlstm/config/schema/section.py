"""Base classes and value types of all config schemas."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, TypeVar

from omegaconf import OmegaConf
from pydantic import BaseModel, ConfigDict, Field

# The largest integer that NumPy and torch accept in all the places where a config value is used.
LARGEST_INT = 2**31 - 1
PositiveInt = Annotated[int, Field(gt=0, le=LARGEST_INT)]
Size = Annotated[int, Field(gt=0, le=16384)]
Text = Annotated[str, Field(min_length=1)]
Share = Annotated[float, Field(ge=0, le=1)]
OpenShare = Annotated[float, Field(gt=0, lt=1)]
Weight = Annotated[float, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
# The numeric features of a visit, see survlstm.data.features.
Feature = Literal[
    "log_days_since_last",
    "log_days_since_first",
    "age",
    "log_codes",
    "log_visit_number",
    "log_codes_so_far",
    "log_distinct_codes_so_far",
    "log_codes_per_visit",
    "log_visits_per_year",
    "share_distinct_codes",
]


class Section(BaseModel):
    """A validated, typed and frozen section of a config; unknown keys are errors and no type is converted.

    Attributes:
        is_plain: Whether no text of a validated config may be an interpolation. Only a config whose texts are
            overrides, composed later, sets it to False.
    """

    is_plain: ClassVar[bool] = True

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=True, allow_inf_nan=False)


SectionT = TypeVar("SectionT", bound=Section)


class SwapPoint(Section):
    """A section that is instantiated; its ``_target_`` names one of the classes that its schema allows."""

    def settings(self) -> dict[str, Any]:
        """Return the section with its ``_target_``, as configs write it."""
        return self.model_dump(by_alias=True)

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of the class that the section holds: its settings without ``_target_``."""
        return {name: value for name, value in self.settings().items() if name != "_target_"}


def each_feature_once(features: list[Feature]) -> list[Feature]:
    """Raise ValueError if a feature is named twice, and return the features."""
    if len(set(features)) != len(features):
        raise ValueError(f"visit_features must name each feature once; found {features}")
    return features


def format_override_value(value: float | None) -> str:
    """Format a number or None as the value of an override.

    Args:
        value: The value of a key.

    Returns:
        The number with at most six significant digits; ``null`` for None.
    """
    return "null" if value is None else f"{value:g}"


def as_yaml(config: Section) -> str:
    """Format a validated config as the YAML that a run stores beside its results.

    Args:
        config: The validated config, or a section of one.

    Returns:
        YAML with the keys of config files, ``_target_`` among them; ``validate_stored`` accepts what it holds.
    """
    return OmegaConf.to_yaml(OmegaConf.create(config.model_dump(by_alias=True)))
