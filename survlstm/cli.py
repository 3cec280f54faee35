"""``survlstm <verb> [overrides]``: each verb composes its config, validates it and hands it on."""

from __future__ import annotations

import datetime
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from survlstm import __version__
from survlstm.command_config import CompareConfig, EvaluateConfig, SimulateConfig
from survlstm.compose import check_overrides
from survlstm.config import RunConfig, conf_dir
from survlstm.errors import ConfigError, SurvlstmError
from survlstm.logs import logging_to, tell
from survlstm.run_folder import refuse_unusable
from survlstm.validation import validate

log = logging.getLogger(__name__)

SWEEP_FLAGS = frozenset({"-m", "--multirun"})

USAGE = f"""survlstm {__version__}: discrete-time survival models on longitudinal health records

survlstm train     [key=value …]   prepare, train and judge one model; -m for a sweep; resume=RUN goes on with one
survlstm evaluate  run=RUN [key=value …]   judge a finished run again, or on another cohort: data=…
survlstm compare   RUN RUN … [output=DIR]  finished runs on the test subjects they share
survlstm simulate  [key=value …]   write a simulated cohort as Synthea CSV: patients=1000 output=DIR

survlstm train --help lists the config groups; survlstm train --cfg job shows the composed config.
"""


def train(arguments: list[str]) -> None:
    """Train and judge; hydra makes the run folder, unless one is given to go on in or several processes share one."""
    # hydra takes its sweep flag before the overrides only.
    arguments = sorted(arguments, key=lambda word: word not in SWEEP_FLAGS)
    is_sweep = bool(SWEEP_FLAGS & set(arguments))
    configs = check_overrides("train", arguments, RunConfig)
    for config in configs:
        if config.resume is not None or config.trainer.dry_run or config.trainer.distributed:
            if is_sweep:
                raise ConfigError("resume, trainer.dry_run and trainer.distributed are for one run; leave out -m")
            from survlstm.launch import start_without_hydra  # noqa: PLC0415

            start_without_hydra(config, arguments)
            return
        # Before anything is made there.
        refuse_unusable(Path(config.output_dir), sweep=is_sweep, may_go_on=not is_sweep)
    _run_hydra("train", arguments, _train)


def simulate(arguments: list[str]) -> None:
    """Write a simulated cohort."""
    _refuse_sweep("simulate", "writes one cohort", arguments)
    check_overrides("simulate", arguments, SimulateConfig)
    _run_hydra("simulate", arguments, _simulate)


def evaluate(arguments: list[str]) -> None:
    """Judge a finished run again; hydra makes the folder."""
    _refuse_sweep("evaluate", "judges one run", arguments)
    for config in check_overrides("evaluate", arguments, EvaluateConfig):
        refuse_unusable(Path(config.output_dir))
    _run_hydra("evaluate", arguments, _evaluate)


def compare(arguments: list[str]) -> None:
    """Compare finished runs; words that are folders, or no key=value, name them."""
    _refuse_sweep("compare", "makes one comparison", arguments)
    if {"-h", "--help"} & set(arguments):
        sys.stdout.write(USAGE)
        return
    # The folder of a sweep's job may well have a = in its name.
    runs = [word for word in arguments if "=" not in word or Path(word).is_dir()]
    (config,) = check_overrides("compare", [word for word in arguments if word not in runs], CompareConfig)
    # pandas and scipy come with it: seconds that a wrong override need not wait for.
    from survlstm.compare import compare_runs  # noqa: PLC0415

    with logging_to(None):
        tell(lambda: compare_runs([Path(run).expanduser() for run in runs], config), verbose=config.verbose)


VERBS: dict[str, Callable[[list[str]], None]] = {
    "train": train,
    "evaluate": evaluate,
    "compare": compare,
    "simulate": simulate,
}


def main(arguments: list[str] | None = None) -> None:
    """The console script; ends the process with the error's exit code where there is one."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        if not arguments or arguments[0] in {"-h", "--help"}:
            sys.stdout.write(USAGE)
            return
        if arguments[0] == "--version":
            sys.stdout.write(f"survlstm {__version__}\n")
            return
        if arguments[0] not in VERBS:
            raise ConfigError(f"the first word must be one of {', '.join(VERBS)}; found {arguments[0]!r}")
        VERBS[arguments[0]](arguments[1:])
    except SurvlstmError as error:
        if any(argument.lower() == "verbose=true" for argument in arguments):
            raise
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted. A run that had begun goes on with survlstm train resume=RUN\n")
        sys.exit(130)


def _run_hydra(config_name: str, arguments: list[str], job: Callable[[DictConfig], None]) -> None:
    sys.argv = [f"survlstm {config_name}", *arguments]
    hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=config_name)(job)()


def _train(composed: DictConfig) -> None:
    # torch comes with it: seconds that a wrong override need not wait for.
    from survlstm.launch import start  # noqa: PLC0415

    config = validate(composed, RunConfig)
    tell(lambda: start(config, Path(HydraConfig.get().runtime.output_dir)), verbose=config.verbose)


def _simulate(composed: DictConfig) -> None:
    from survlstm.simulation import simulate_cohort  # noqa: PLC0415

    config = validate(composed, SimulateConfig)
    with logging_to(None):
        tell(
            lambda: simulate_cohort(
                Path(config.output).expanduser(),
                patients=config.patients,
                seed=config.seed,
                history_years=config.history_years,
                end_date=datetime.date.fromisoformat(config.end_date),
                progress=True,
            ),
            verbose=config.verbose,
        )


def _evaluate(composed: DictConfig) -> None:
    from survlstm.evaluate import evaluate as judge_again  # noqa: PLC0415

    folder = Path(HydraConfig.get().runtime.output_dir)
    config = validate(composed, EvaluateConfig).model_copy(update={"output_dir": str(folder)})
    tell(lambda: refuse_unusable(folder), verbose=config.verbose)
    with logging_to(folder / "evaluation.log"):
        tell(lambda: judge_again(config, folder), verbose=config.verbose)


def _refuse_sweep(verb: str, does: str, arguments: list[str]) -> None:
    if SWEEP_FLAGS & set(arguments):
        raise ConfigError(f"survlstm {verb} {does}; leave out -m and call it once for each")
