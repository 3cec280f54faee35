"""The search space: its dimensions as ``conf/tune`` describes them, and a trial's values as overrides."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from survlstm.config.schema.section import PositiveInt, Section

if TYPE_CHECKING:
    from optuna import Trial

# The keys of a dimension; any of them distinguishes a dimension from a section that contains dimensions.
WORDS = frozenset({"kind", "low", "high", "log", "step", "choices"})
EXAMPLE = "space.model.dropout={kind:float,low:0.1,high:0.5}"


class FloatRange(Section):
    """All numbers from ``low`` to ``high``, both included; with ``log`` uniform in the logarithm."""

    kind: Literal["float"]
    low: float
    high: float
    log: bool = False
    step: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _is_range(self) -> FloatRange:
        _refuse_no_range(self.low, self.high, self.step, log=self.log)
        return self

    def suggest(self, key: str, trial: Trial) -> float:
        """Draw a value for the trial.

        Args:
            key: The dotted key of the dimension.
            trial: Optuna's trial, which keeps the value.

        Returns:
            A number of the range.
        """
        return trial.suggest_float(key, self.low, self.high, log=self.log, step=self.step)

    def holds(self, value: Any) -> bool:
        """Return whether the value is in the range.

        Args:
            value: A value of any type, as a storage holds it.

        Returns:
            True for a number from ``low`` to ``high``; whether it is a whole number of steps is not checked.
        """
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high

    def ends(self) -> list[Any]:
        """Return the values to check before the search; if they are valid, all between are."""
        return [self.low, self.high]


class IntRange(Section):
    """All whole numbers from ``low`` to ``high``, both included, or every ``step``-th."""

    kind: Literal["int"]
    low: int
    high: int
    log: bool = False
    step: PositiveInt = 1

    @model_validator(mode="after")
    def _is_range(self) -> IntRange:
        _refuse_no_range(self.low, self.high, None if self.step == 1 else self.step, log=self.log)
        return self

    def suggest(self, key: str, trial: Trial) -> int:
        """Draw a value for the trial.

        Args:
            key: The dotted key of the dimension.
            trial: Optuna's trial, which keeps the value.

        Returns:
            A whole number of the range.
        """
        return trial.suggest_int(key, self.low, self.high, log=self.log, step=self.step)

    def holds(self, value: Any) -> bool:
        """Return whether the value is in the range.

        Args:
            value: A value of any type, as a storage holds it.

        Returns:
            True for an integer from ``low`` to ``high`` that is a whole number of steps above ``low``.
        """
        return type(value) is int and self.low <= value <= self.high and (value - self.low) % self.step == 0

    def ends(self) -> list[Any]:
        """Return the values to check before the search; if they are valid, all between are."""
        return [self.low, self.high]


class Choice(Section):
    """An unordered choice between values of an override, or between the files of a config group."""

    kind: Literal["choice"]
    choices: list[Any]

    @model_validator(mode="after")
    def _is_choice(self) -> Choice:
        if len(self.choices) < 2:
            raise ValueError(f"choices must name at least two values; found {self.choices}")
        if len(set(self.options)) != len(self.choices):
            raise ValueError(f"choices must name each value once; found {self.choices}")
        return self

    @property
    def options(self) -> list[str]:
        """The values as overrides write them, which storages can keep and which distinguishes 1, true and 1.0."""
        return [format_choice(choice) for choice in self.choices]

    def suggest(self, key: str, trial: Trial) -> str:
        """Draw a value for the trial, as an override writes it.

        Args:
            key: The dotted key of the dimension.
            trial: Optuna's trial, which keeps the value.

        Returns:
            One of ``options``.
        """
        return str(trial.suggest_categorical(key, self.options))

    def holds(self, value: Any) -> bool:
        """Return whether the value is one of the choices.

        Args:
            value: A value of any type, as a storage holds it.

        Returns:
            True for one of ``options``.
        """
        return value in self.options

    def ends(self) -> list[Any]:
        """Return the values to check before the search: all choices."""
        return list(self.options)


Dimension = FloatRange | IntRange | Choice
Space = dict[str, Dimension]
KINDS: dict[str, type[Dimension]] = {"float": FloatRange, "int": IntRange, "choice": Choice}


def read_space(raw: Any) -> Space:
    """Read the dimensions, given as nested sections or by dotted keys.

    Nested sections can be changed on the command line, as in ``space.model.dropout.high=0.5``.

    Args:
        raw: The section ``space`` of the config. Each dimension has a ``kind``, and ``low`` and ``high`` or
            ``choices``; a dimension that was read already is taken as it is.

    Returns:
        The dimension of each dotted key.

    Raises:
        ValueError: If any dimension is invalid; the message lists all faults.
    """
    if not isinstance(raw, dict):
        raise ValueError(f"space must be a mapping of overrides to what they may be; found {raw!r}")
    space: Space = {}
    faults = []
    for key, entry in _flat(raw):
        try:
            if key in space:
                raise ValueError(f"space.{key} must be described once; found it as a section and as a dotted key")
            space[key] = entry if isinstance(entry, Dimension) else _dimension(key, entry)
        except ValueError as fault:
            faults.append(str(fault))
    if faults:
        raise ValueError("\n".join(faults))
    if not space:
        raise ValueError(f"space must name at least one override to search over, as +{EXAMPLE} does; found none")
    return space


def overrides(values: dict[str, Any]) -> list[str]:
    """Return a trial's values as overrides of ``survlstm train``.

    Args:
        values: The trial's values by dotted key.

    Returns:
        One override ``key=value`` per key, in the same order.
    """
    return [f"{key}={format_choice(value)}" for key, value in values.items()]


def format_choice(value: Any) -> str:
    """Return a value as an override writes it; a text is taken as it is, in Hydra's grammar.

    Args:
        value: A plain value; None becomes null.

    Returns:
        The text behind the equals sign.
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(format_choice(item) for item in value)}]"
    return value if isinstance(value, str) else repr(value)


def _flat(raw: dict[Any, Any], section: str = "") -> Iterator[tuple[str, Any]]:
    for name, entry in raw.items():
        is_section = isinstance(entry, dict) and bool(entry) and not _is_described(entry)
        if is_section:
            yield from _flat(entry, f"{section}{name}.")
        else:
            yield f"{section}{name}", entry


def _is_described(entry: dict[Any, Any]) -> bool:
    # A section may have a key called kind itself, as clock does.
    return any(name in WORDS and not isinstance(value, dict) for name, value in entry.items())


def _dimension(key: str, entry: Any) -> Dimension:
    if not isinstance(entry, dict):
        raise ValueError(f"space.{key} must say what it may be, as {EXAMPLE} does; found {entry!r}")
    kind = entry.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"space.{key}.kind must be one of {', '.join(KINDS)}; found {kind!r}")
    try:
        return KINDS[kind].model_validate(entry)
    except ValidationError as error:
        schema = KINDS[kind]
        raise ValueError(
            "\n".join(_sentence(f"space.{key}", dict(fault), schema) for fault in error.errors())
        ) from error


def _sentence(key: str, fault: dict[str, Any], schema: type[Dimension]) -> str:
    name = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"{key}.{name} is not a known key; it may be one of {', '.join(schema.model_fields)}"
    if fault["type"] == "missing":
        return f"{key}.{name} is missing; set {key}.{name}=VALUE"
    if fault["type"] == "value_error":
        return f"{key}: {fault['ctx']['error']}"
    return f"{key}.{name}: {fault['msg'].replace('Input should be', 'must be')}; found {fault['input']!r}"


def _refuse_no_range(low: float, high: float, step: float | None, *, log: bool) -> None:
    if not low < high:
        raise ValueError(f"low must be below high; found low={low:g} and high={high:g}")
    if log and low <= 0:
        raise ValueError(f"with log, low must be above 0; found low={low:g}")
    if step is None:
        return
    if log:
        raise ValueError(f"log and step exclude each other; found log=true and step={step:g}")
    if (Decimal(repr(high)) - Decimal(repr(low))) % Decimal(repr(step)):
        raise ValueError(f"from low to high must be whole steps; found low={low:g}, high={high:g} and step={step:g}")
