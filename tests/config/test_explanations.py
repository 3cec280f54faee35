"""The explanations of config keys, read from the docstrings of schemas."""

from typing import Annotated, Literal

from pydantic import Field

from survlstm.config.explanations import read_explanations, section_schema, section_schemas
from survlstm.config.schema.run import RunConfig
from survlstm.config.schema.section import Section
from survlstm.config.schema.training import CosineConfig, NoSchedulerConfig, PlateauConfig
from survlstm.tuning.config import TuneConfig


class Inner(Section):
    """A section.

    Attributes:
        target: The class.
    """

    target: Literal["a.B"] = Field(alias="_target_")


class Base(Section):
    """A base.

    Attributes:
        size: The size; None means ``all``.
        name: A first line,
            and a second one.

    Further text.
        other: Not a key.
    """

    size: int | None
    name: str


class Derived(Base):
    """A derived schema.

    Attributes:
        size: Another size.
    """

    other: int
    inner: Annotated[Inner | None, "note"] = None
    many: dict[str, Inner]


class Silent(Base):
    pass


def test_the_attributes_of_a_docstring_explain_its_keys():
    assert read_explanations(Base) == {"size": "The size; null means all.", "name": "A first line, and a second one."}
    assert read_explanations(Derived)["size"] == "Another size."
    assert read_explanations(Silent) == read_explanations(Base)
    assert "other" not in read_explanations(Derived)
    assert read_explanations(Inner) == {"_target_": "The class."}


def test_the_schemas_of_a_section():
    assert section_schemas(Derived, "inner") == [Inner]
    assert section_schemas(Derived, "many") == section_schemas(Derived, "size") == section_schemas(Derived, "x") == []
    assert section_schemas(TuneConfig, "space") == []


def test_the_schema_that_fits_the_values():
    plateau = {"_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau", "patience": 5, "factor": 0.5}
    cosine = {"_target_": "torch.optim.lr_scheduler.CosineAnnealingLR", "T_max": "${trainer.epochs}"}
    assert section_schema(RunConfig, "scheduler", plateau) is PlateauConfig
    assert section_schema(RunConfig, "scheduler", cosine) is CosineConfig
    assert section_schema(RunConfig, "scheduler", {"_target_": None}) is NoSchedulerConfig
    assert section_schema(RunConfig, "seed", {}) is None
