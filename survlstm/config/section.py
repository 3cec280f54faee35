"""What every section of a config is: validated, typed and frozen, with no key but its own."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, TypeVar

from omegaconf import OmegaConf
from pydantic import BaseModel, ConfigDict, Field

# What NumPy and torch count with, in every place.
LARGEST_INT = 2**31 - 1
PositiveInt = Annotated[int, Field(gt=0, le=LARGEST_INT)]
Size = Annotated[int, Field(gt=0, le=16384)]
Text = Annotated[str, Field(min_length=1)]
Share = Annotated[float, Field(ge=0, le=1)]
OpenShare = Annotated[float, Field(gt=0, lt=1)]
Weight = Annotated[float, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Section(BaseModel):
    """Unknown keys are errors, nothing is converted, nothing changes after validation.

    ``is_plain`` says that no text in a config of this kind is an interpolation once it is validated.
    """

    is_plain: ClassVar[bool] = True

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=True, allow_inf_nan=False)


SectionT = TypeVar("SectionT", bound=Section)


class SwapPoint(Section):
    """A section that becomes an object: its ``_target_`` says of which class, one of those that its schema names."""

    def settings(self) -> dict[str, Any]:
        """Return the section with its ``_target_``, as configs write it."""
        return self.model_dump(by_alias=True)


def format_override_value(value: float | None) -> str:
    """A number as an override would have it."""
    return "null" if value is None else f"{value:g}"


def as_yaml(config: Section) -> str:
    """A validated config as the YAML that a run keeps beside its results."""
    return OmegaConf.to_yaml(OmegaConf.create(config.model_dump(by_alias=True)))
