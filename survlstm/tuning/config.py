"""The config of ``survlstm tune``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from survlstm.config.schema.section import LARGEST_INT, PositiveInt, Section, Seed, Text
from survlstm.tuning.space import Dimension, read_space

Count = Annotated[int, Field(ge=0, le=LARGEST_INT)]


def _fit_for_a_file(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", name):
        raise ValueError(f"must be letters, digits, _ and -, because it becomes a file name; found {name!r}")
    return name


class PrunerConfig(Section):
    """When a trial is stopped early.

    Attributes:
        startup_trials: The number of trials before any is stopped.
        warmup_epochs: The epochs within which no trial is stopped.
    """

    startup_trials: Count
    warmup_epochs: Count


class TuneConfig(Section):
    """``survlstm tune``.

    Attributes:
        space: The searched keys of ``survlstm train`` with their ranges or choices, from a file of the group ``tune``.
        base: Overrides of ``survlstm train`` for every trial.
        metric: The metric of the best epoch that is searched by; val_nll is minimised, val_c_td is maximised.
        trials: The number of trials over all workers; a larger number continues a finished search.
        seed: The seed of the sampler.
        name: The name of the study, of its folder and of the experiment file of the best trial.
        startup_trials: The number of random trials before the sampler uses the results.
        pruner: When a trial is stopped early; None stops none.
        storage: The URL of the study's database, as in sqlite:///study.db; None means a journal in ``output_dir``,
            which several workers may share.
        lost_after_hours: A trial on another machine that has not reported for so long is repeated.
        output_dir: The folder of the study.
        verbose: Whether an error keeps its traceback.
    """

    # Overrides in base and space may hold interpolations, which are resolved when a trial's config is composed.
    is_plain: ClassVar[bool] = False

    space: Annotated[dict[str, Dimension], BeforeValidator(read_space)]
    base: list[Text]
    metric: Literal["val_nll", "val_c_td"]
    trials: PositiveInt
    seed: Seed
    name: Annotated[str, AfterValidator(_fit_for_a_file)]
    startup_trials: PositiveInt
    pruner: PrunerConfig | None
    storage: Text | None
    lost_after_hours: Annotated[float, Field(gt=0)]
    output_dir: Text
    verbose: bool

    @property
    def folder(self) -> Path:
        """The study's folder."""
        return Path(self.output_dir).expanduser().absolute()

    @property
    def maximised(self) -> bool:
        """Whether a higher metric is better."""
        return self.metric == "val_c_td"

    def identity(self) -> dict[str, Any]:
        """Return the settings that all trials of a study must share to be comparable, in the order of the config."""
        shared = ("space", "base", "metric", "seed", "startup_trials", "pruner")
        values = self.model_dump(include=set(shared))
        return {key: values[key] for key in shared}
