"""Train and evaluate one model from Python."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from survlstm.api.composition import (
    Overrides,
    PathLike,
    compose_one,
    generators_left_alone,
    hydra_left_alone,
    override_words,
)
from survlstm.api.run import Run, load_run
from survlstm.config.class_loader import named_classes
from survlstm.config.schema.run import RunConfig
from survlstm.runs.launch import RESUME, resume, start_without_hydra
from survlstm.training.torchrun import launched_processes
from survlstm.utils.errors import ConfigError


def train(overrides: Overrides = (), *, output_dir: PathLike | None = None, config_dir: PathLike | None = None) -> Run:
    """Train and evaluate one model, or resume a run, as ``survlstm train`` does.

    The log goes to the console and to ``training.log`` in the run folder. The state of Hydra, of the random generators
    and of torch's deterministic mode is afterwards as it was, so that the function can be called several times in one
    process, and inside a Hydra app.

    Args:
        overrides: Overrides as on the command line, such as ``["experiment=smoke", "trainer.epochs=5"]``, or Python
            values by key, such as ``{"experiment": "smoke", "trainer.epochs": 5}``. ``resume=RUN`` resumes a run.
        output_dir: The run folder; None for ``outputs/DATE/TIME`` or what the overrides say.
        config_dir: A folder with config groups of your own; None for none.

    Returns:
        The finished run.

    Raises:
        ConfigError: The overrides are not valid, ask for several runs or for a run without training, the folder can't
            be used, or the caller is not the main thread of a single process.
        SurvlstmError: Training or evaluation failed. ``Interrupted``: Ctrl+C stopped the run, which can be resumed.

    Example:
        >>> run = survlstm.train(["experiment=smoke", "seed=1"], output_dir="outputs/seed_1")
        >>> run.metrics.loc["model", "c_td"]
    """
    _refuse_other_places()
    words = override_words(overrides, function="train", config_dir=config_dir, paths={"output_dir": output_dir})
    resumed = [word.removeprefix(RESUME) for word in words if word.startswith(RESUME)]
    with hydra_left_alone(), generators_left_alone():
        if resumed:
            resume(words)
            return load_run(resumed[0], allow=_allowed(words))
        config = compose_one("train", words, RunConfig)
        if config.trainer.dry_run:
            raise ConfigError(
                "survlstm.train returns a run, and trainer.dry_run trains none; leave it out, or use the command: "
                "survlstm train trainer.dry_run=true"
            )
        # The name of the folder may contain the time of the composition, so that it is taken from the config.
        start_without_hydra(config, words)
        return load_run(Path(config.output_dir), allow=named_classes(config.model_dump(by_alias=True)))


def _allowed(words: Sequence[str]) -> Sequence[str]:
    """Return the classes that ``allow`` names among overrides."""
    return compose_one("train", [word for word in words if word.startswith("allow=")], RunConfig).allow


def _refuse_other_places() -> None:
    if launched_processes() > 1:
        raise ConfigError(
            f"survlstm.train runs in one process; found {launched_processes()} that torchrun started. Start them with "
            "torchrun -m survlstm train trainer.distributed=true"
        )
    # Python allows handlers of signals there only, and without one Ctrl+C would lose what the run has not saved.
    if threading.current_thread() is not threading.main_thread():
        raise ConfigError(
            "survlstm.train must run in the main thread, where Python can stop it at Ctrl+C; found another"
        )
