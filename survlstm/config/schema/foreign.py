"""Sections that name a class from outside survlstm, one for each swap point."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar, cast, get_args

from pydantic import ConfigDict, Discriminator, Field, PrivateAttr, ValidationInfo, model_validator

from survlstm.config.class_loader import check_methods, checked_settings, class_digest, load_class, takes_argument
from survlstm.config.schema.section import Feature, SwapPoint, Text, each_feature_once
from survlstm.utils.errors import ClosedClassError, ConfigError

# The tag of these sections in a union; the dot keeps it out of the names of keys in messages.
FOREIGN = "foreign.class"
# The tag of a section whose ``_target_`` is not a string; no schema has it.
NO_NAME = "no.name"
# Classes of torch that a stored config may name, since survlstm installs torch: optimizers and schedulers.
TORCH = ("torch.optim.", "torch.optim.lr_scheduler.")


class ForeignConfig(SwapPoint):
    """A section whose ``_target_`` is an importable class that is not part of survlstm.

    All keys but ``_target_``, and those that a subclass defines, are settings of the class. The class is imported, and
    the settings are checked against its constructor, only if it is permitted: if the user's own command or config names
    it, or ``allow`` does. A class that only a stored file names stays closed, and using it raises an error.

    Attributes:
        section: Key of the section in the config.
        given: Arguments that survlstm passes to the constructor.
        sometimes_given: Arguments that survlstm passes to a constructor that takes them.
        methods: Methods that the class must have.
        protocol: Dotted name of the protocol.
        target: Dotted name of the class.
    """

    section: ClassVar[str]
    given: ClassVar[tuple[str, ...]] = ()
    sometimes_given: ClassVar[tuple[str, ...]] = ()
    methods: ClassVar[tuple[str, ...]] = ()
    protocol: ClassVar[str]

    model_config = ConfigDict(extra="allow")

    target: Text = Field(alias="_target_")
    _is_permitted: bool = PrivateAttr(default=False)

    @model_validator(mode="after")
    def _check_class(self, info: ValidationInfo) -> ForeignConfig:
        allow = (info.context or {}).get("allow", ())
        # None: the config is the user's own.
        self._is_permitted = allow is None or self.target in allow or _is_of_torch(self.target)
        # What a stored file names is imported where it is used: not every command uses every section.
        if allow is None:
            self._load()
        return self

    @property
    def class_settings(self) -> dict[str, Any]:
        """The settings of the class, without the keys that survlstm reads itself."""
        return dict(self.model_extra or {})

    def refuse_closed(self) -> None:
        """Raise ClosedClassError if only a stored file names the class."""
        if not self._is_permitted:
            raise ClosedClassError(
                f"{self.section}._target_ is {self.target:.200}, which is not part of survlstm and is named by "
                f"a stored file alone. Importing it runs its code; if you trust it, add allow=[{self.target:.200}]"
            )

    def load(self) -> tuple[Callable[..., Any], dict[str, Any]]:
        """Import the class and check its settings.

        Returns:
            The class, and the settings to pass to its constructor beside the arguments in ``given``.

        Raises:
            ClosedClassError: Only a stored file names the class.
            ConfigError: The class can't be imported, or a setting is not one of its constructor's.
        """
        self.refuse_closed()
        try:
            return self._load()
        except ValueError as error:
            said = str(error)
            raise ConfigError(f"{self.section}._target_ {said}" if said.startswith("must ") else said) from error

    def _load(self) -> tuple[Callable[..., Any], dict[str, Any]]:
        """Import the class and check its settings; raise ValueError for a fault."""
        found = load_class(self.target)
        if _is_of_torch(self.target) and not inspect.isclass(found):
            raise ValueError(f"must name a class; {self.target} is none")
        check_methods(found, self.target, self.methods, self.protocol)
        settings = checked_settings(
            found,
            self.class_settings,
            section=self.section,
            target=self.target,
            given=self.given,
            sometimes_given=self.sometimes_given,
        )
        return found, settings

    def code_digest(self) -> str:
        """Return a digest of the code of the class, for the fingerprint of prepared data.

        Raises:
            ClosedClassError: Only a stored file names the class.
        """
        found, _ = self.load()
        return class_digest(found)


def _is_of_torch(target: str) -> bool:
    return any(target.startswith(prefix) and target.removeprefix(prefix).isidentifier() for prefix in TORCH)


class ForeignModelConfig(ForeignConfig):
    """A model of the user's own, see ``survlstm.models.protocol``.

    Attributes:
        visit_features: The numeric features of a visit that the model reads beside its codes.
        whole_record: Whether a hazard may depend on the whole row; only on the landmark clock, where a row ends at the
            landmark.
    """

    section = "model"
    given = ("vocabulary_size", "visit_features", "intervals", "mean_hazard")
    sometimes_given = ("prediction_features",)
    methods = ("forward", "state_dict", "load_state_dict")
    protocol = "survlstm.models.protocol.SurvivalModel, a torch.nn.Module"

    visit_features: list[Feature] = Field(default=[])
    whole_record: bool = False

    def fault_on_days(self) -> str | None:
        """Return a sentence if the class can't be built on the days clock, and None otherwise.

        Raises:
            ClosedClassError: Only a stored file names the class.
            ConfigError: The class can't be imported, or a setting is not one of its constructor's.
        """
        if takes_argument(self.load()[0], "prediction_features"):
            return None
        return (
            "on clock=days a model must take the keyword argument prediction_features, the number of columns of "
            f"ModelInputs.prediction_features; {self.target} does not. Add prediction_features: int = 0 to its "
            "constructor and pass it to survlstm.models.layers.HazardHead, or set clock=visit or clock=landmark"
        )

    @model_validator(mode="after")
    def _each_feature_once(self) -> ForeignModelConfig:
        each_feature_once(self.visit_features)
        return self


class ForeignOutcomeConfig(ForeignConfig):
    """An outcome of the user's own, see ``survlstm.data.outcomes.protocol.Outcome``.

    Attributes:
        drawn: Whether the events are drawn by a formula instead of read from the records; every page then says so.
    """

    section = "outcome"
    methods = ("observed", "follow_up", "label")
    protocol = "survlstm.data.outcomes.protocol.Outcome"

    drawn: bool = False


class ForeignSourceConfig(ForeignConfig):
    """A source of the user's own, see ``survlstm.data.sources.protocol.Source``."""

    section = "data.source"
    given = ("path",)
    methods = ("files", "read")
    protocol = "survlstm.data.sources.protocol.Source"

    @property
    def timezone(self) -> str | None:
        """Its setting ``timezone``, the zone to which the source converts times; None if it has none."""
        zone = self.class_settings.get("timezone")
        return zone if isinstance(zone, str) else None


class ForeignOptimizerConfig(ForeignConfig):
    """Another optimizer, of torch or of the user's own."""

    section = "optimizer"
    given = ("params",)
    methods = ("step", "zero_grad", "state_dict", "load_state_dict")
    protocol = "torch.optim.Optimizer"


class ForeignSchedulerConfig(ForeignConfig):
    """Another schedule of the learning rate, of torch or of the user's own; it takes a step after every epoch."""

    section = "scheduler"
    given = ("optimizer",)
    methods = ("step", "state_dict", "load_state_dict")
    protocol = "torch.optim.lr_scheduler.LRScheduler"


class ForeignLoggerConfig(ForeignConfig):
    """A logger of the user's own, see ``survlstm.training.loggers.logger.Logger``."""

    section = "logger"
    methods = ("begin", "epoch_ended", "end", "close")
    protocol = "survlstm.training.loggers.logger.Logger"


class ForeignBaselineConfig(ForeignConfig):
    """A baseline of the user's own, see ``survlstm.evaluation.baselines.protocol.Baseline``."""

    section = "evaluation.baselines"
    protocol = "survlstm.evaluation.baselines.protocol.Baseline"


def by_target(*own: type[SwapPoint]) -> Discriminator:
    """Return the discriminator of a swap point: a shipped class by its name, any other one as foreign.

    Args:
        *own: Schemas of the shipped classes; a ``_target_`` of None has the tag ``none``.

    Returns:
        The discriminator. The tag of a shipped class is its dotted name.
    """
    known = {target for schema in own for target in get_args(schema.model_fields["target"].annotation)}

    def tag(section: Any) -> str | None:
        target = section.get("_target_") if isinstance(section, dict) else getattr(section, "target", None)
        if target is None:
            return "none"
        if not isinstance(target, str):
            return NO_NAME
        return target if target in known else FOREIGN

    return Discriminator(cast("Callable[[Any], str | None]", tag))
