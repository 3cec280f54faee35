"""``survlstm <verb> [overrides]``: each verb composes its config, validates it and hands it on."""

from __future__ import annotations

import argparse
import datetime
import errno
import logging
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from survlstm.cli import completion, deploy
from survlstm.config.commands import CompareConfig, EvaluateConfig, RerunConfig, SimulateConfig
from survlstm.config.compose import check_overrides, refuse_sweep
from survlstm.config.overrides import HELP, compose_lines, normalise_words, quote_word, read_flags, search_path
from survlstm.config.schema import RunConfig, conf_dir
from survlstm.config.validation import validate
from survlstm.runs.folder import refuse_unusable
from survlstm.sweeps.sweep_overrides import fixed_keys, job_folder_name, read_sweep_words, record_words
from survlstm.training.torchrun import refuse_unrequested_torchrun
from survlstm.utils.console import lenient_console, lost_output
from survlstm.utils.errors import ConfigError, SurvlstmError
from survlstm.utils.logs import check_working_folder, logging_to, run_reporting_errors
from survlstm.utils.version import __version__

log = logging.getLogger(__name__)


# Here, so that a launcher's other processes, which import the job's function from here, know it too.
OmegaConf.register_new_resolver("job_folder", job_folder_name, replace=True)

USAGE = f"""survlstm {__version__}: discrete-time survival models on longitudinal health records

survlstm train     [key=value …]   prepare, train and judge one model; resume=RUN goes on with one that was stopped
survlstm train -m  [key=a,b,c …]   a sweep: a run for each combination; sweep.resume=SWEEP runs what is missing
survlstm evaluate  run=RUN [key=value …]   judge a finished run again, or on another cohort: data=…
survlstm compare   RUN RUN … [output=DIR]  finished runs on the test subjects they share
survlstm tune      [tune=lstm] [key=value …]   search over a space of overrides; the same words go on with it
survlstm summarize SWEEP [--metric val_nll]  a sweep's table, winner and pictures, also while it runs
survlstm runs      [FOLDER] [--sort test.c_td] [--where data=cohort_1000]  the runs below a folder
survlstm rerun     RUN [output_dir=DIR]    make a run again; is its history identical?
survlstm export    run=RUN output=BUNDLE   a model with all that it takes to use it; format=onnx
survlstm predict   bundle=BUNDLE data.path=EXPORT [output=FILE]  risk and survival of every subject
survlstm plot      survival bundle=BUNDLE data.path=EXPORT [subjects=[ID,…]]  survival curves
survlstm explain   run=RUN [key=value …]   which codes move the predicted hazard
survlstm serve     bundle=BUNDLE [port=8000]  predictions over HTTP, and a page to try them on
survlstm simulate  [key=value …]   write a simulated cohort as Synthea CSV: patients=1000 output=DIR

survlstm train --help lists the config groups; survlstm train --cfg job shows the composed config.
"""


def train(arguments: list[str]) -> None:
    """Train and judge; hydra makes the run folder, unless one is given to go on in or several processes share one."""
    arguments, completed = read_sweep_words(normalise_words(arguments))
    arguments = normalise_words(arguments)
    flags = read_flags(arguments)
    only_shows = bool(flags.help or flags.hydra_help or flags.info or flags.cfg)
    is_resumed = any(word.startswith("resume=") for word in arguments)
    if is_resumed and not only_shows and not flags.multirun:
        from survlstm.runs.launch import resume

        resume(arguments)
        return
    configs = check_overrides("train", arguments, RunConfig)
    if only_shows:
        _run_hydra("train", arguments, _train)
        return
    alone = [config for config in configs if is_resumed or config.trainer.dry_run or config.trainer.distributed]
    if alone and flags.multirun:
        raise ConfigError("resume, trainer.dry_run and trainer.distributed are for one run; leave out -m")
    if alone:
        from survlstm.runs.launch import start_without_hydra

        start_without_hydra(alone[0], arguments)
        return
    refuse_unrequested_torchrun(distributed=False)
    if completed is None:
        # Before anything is made there.
        refuse_unusable(Path(configs[0].output_dir), sweep=flags.multirun, may_go_on=not flags.multirun)
    if flags.multirun:
        _sweep(arguments, Path(configs[0].output_dir).expanduser().absolute())
    else:
        _run_hydra("train", arguments, _train)


def _sweep(arguments: list[str], folder: Path) -> None:
    """All jobs, whatever becomes of each; ends the process with 1 where one has failed."""
    from survlstm.sweeps.summary import summarize

    record_words(folder, arguments)
    fixed = ",".join(f"'{key}'" for key in [*fixed_keys(arguments), "output_dir"])
    named = f"hydra.job.config.override_dirname.exclude_keys=[{fixed}]"
    words = [word for word in arguments if not word.startswith("output_dir=")]
    # Else the jobs of another launcher's processes would outlive this one.
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        _run_hydra("train", [*words, quote_word(f"output_dir={folder}"), named], _train_job)
    except BaseException:
        # What ended the sweep is told, and not that there is nothing to summarise yet.
        with suppress(SurvlstmError), logging_to(None):
            summarize(folder)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
    with logging_to(None):
        sweep = summarize(folder)
    if any(row.record.state != "finished" for row in sweep.rows):
        sys.exit(1)


def simulate(arguments: list[str]) -> None:
    """Write a simulated cohort."""
    arguments = normalise_words(arguments)
    refuse_sweep("simulate", "writes one cohort", arguments)
    check_overrides("simulate", arguments, SimulateConfig)
    _run_hydra("simulate", arguments, _simulate)


def evaluate(arguments: list[str]) -> None:
    """Judge a finished run again; hydra makes the folder."""
    arguments = normalise_words(arguments)
    refuse_sweep("evaluate", "judges one run", arguments)
    overrides = read_flags(arguments).overrides
    if any(word.startswith("data.") for word in overrides) and not any(word.startswith("data=") for word in overrides):
        # As in train, where a cohort is chosen already whose folder data.path names.
        arguments.append("data=synthea")
    for config in check_overrides("evaluate", arguments, EvaluateConfig):
        refuse_unusable(Path(config.output_dir))
    _run_hydra("evaluate", arguments, _evaluate)


def compare(arguments: list[str]) -> None:
    """Compare finished runs; words that are folders, or no key=value, name them."""
    refuse_sweep("compare", "makes one comparison", arguments)
    if HELP & set(arguments):
        sys.stdout.write(USAGE)
        return
    # The folder of a sweep's job may well have a = in its name.
    runs = [word for word in arguments if "=" not in word or Path(word).is_dir()]
    (config,) = check_overrides("compare", [word for word in arguments if word not in runs], CompareConfig)
    # pandas and scipy come with it: seconds that a wrong override need not wait for.
    from survlstm.runs.compare import compare_runs

    with logging_to(None):
        compare_runs([Path(run).expanduser() for run in runs], config)


def rerun(arguments: list[str]) -> None:
    """Make a run again, and say whether its history is identical; ends the process with 1 where it is not."""
    refuse_sweep("rerun", "makes one run again", arguments)
    if HELP & set(arguments):
        sys.stdout.write(USAGE)
        return
    runs = [word for word in arguments if "=" not in word or Path(word).is_dir()]
    if len(runs) != 1:
        raise ConfigError(f"survlstm rerun takes the folder of one run; found {len(runs)}: {' '.join(runs)}")
    (config,) = check_overrides("rerun", [word for word in arguments if word not in runs], RerunConfig)
    from survlstm.runs.rerun import rerun as make_again

    if not make_again(Path(runs[0]).expanduser(), config):
        sys.exit(1)


def tune(arguments: list[str]) -> None:
    """Search over a space of overrides, choosing by validation."""
    arguments = normalise_words(arguments)
    refuse_sweep("tune", "is itself many runs", arguments)
    from survlstm.tuning import TuneConfig
    from survlstm.tuning import tune as search

    # What the search finds there its trials must find too.
    added = search_path(compose_lines(arguments))

    def job(composed: DictConfig) -> None:
        config = validate(composed, TuneConfig)
        if not search_path(config.base):
            config = config.model_copy(update={"base": [*added, *config.base]})
        run_reporting_errors(lambda: search(config), verbose=config.verbose)

    check_overrides("tune", arguments, TuneConfig)
    _run_hydra("tune", arguments, job)


def summarize(arguments: list[str]) -> None:
    """Read a sweep's folder, also while its jobs run, and write its summary there."""
    parser = argparse.ArgumentParser(prog="survlstm summarize", description=summarize.__doc__)
    parser.add_argument("sweep", type=Path)
    parser.add_argument("--metric", default="val_nll", help="what chooses the winner: val_nll or val_c_td")
    options = parser.parse_args(arguments)
    from survlstm.sweeps.summary import summarize as summarize_sweep

    with logging_to(None):
        summarize_sweep(options.sweep.expanduser(), metric=options.metric)


def runs(arguments: list[str]) -> None:
    """List the runs below a folder with their key figures."""
    parser = argparse.ArgumentParser(prog="survlstm runs", description=runs.__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("outputs"))
    parser.add_argument("--sort", help="a column, as in test.c_td; without it the newest come first")
    parser.add_argument("--where", action="append", default=[], metavar="KEY=VALUE", help="only runs with this value")
    options = parser.parse_args(arguments)
    from survlstm.sweeps.listing import format_listing, list_runs

    with logging_to(None):
        table = list_runs(options.folder.expanduser(), sort=options.sort, where=tuple(options.where))
        log.info("%s", format_listing(table).to_string(index=False))


VERBS: dict[str, Callable[[list[str]], None]] = {
    "train": train,
    "evaluate": evaluate,
    "compare": compare,
    "tune": tune,
    "summarize": summarize,
    "runs": runs,
    "rerun": rerun,
    **deploy.VERBS,
    "simulate": simulate,
}

# Whose groups and keys the shell completes.
COMPOSED = ("train", "evaluate", "tune", "simulate", "export", "predict", "explain", "serve")


# A shell's code for a process that SIGPIPE ended.
NOBODY_READS = 128 + signal.SIGPIPE


def main(arguments: list[str] | None = None) -> None:
    """The console script; ends the process with the error's exit code where there is one.

    Where nobody reads what it says (``| head``), a command that leaves files goes on to its end without a console; one
    that only shows something ends as a shell's tools do.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    with lenient_console():
        ended = None
        try:
            _command(arguments)
        except SystemExit as error:
            ended = error
        lost = lost_output()
        if lost is not None and _only_shows(arguments):
            sys.exit(_not_shown(lost))
        if ended is not None:
            raise ended


def _not_shown(lost: OSError) -> int:
    if lost.errno == errno.EPIPE:
        return NOBODY_READS
    sys.stderr.write(f"the output must be written; the system says: {lost}\n")
    return 1


def _only_shows(arguments: list[str]) -> bool:
    if not arguments or arguments[0] not in VERBS or arguments[0] == "runs":
        return True
    if arguments[0] == "compare":
        return not any(word.startswith("output=") for word in arguments)
    return any(word.split("=")[0] in {*HELP, "--cfg", "-c", "--info", "-i", "--hydra-help"} for word in arguments)


def _command(arguments: list[str]) -> None:
    try:
        if not arguments or arguments[0] in HELP:
            sys.stdout.write(USAGE)
            return
        if arguments[0] == "--version":
            sys.stdout.write(f"survlstm {__version__}\n")
            return
        if arguments[0] in completion.FLAGS:
            completion.complete(arguments, verbs=VERBS, composed=COMPOSED, hydra=_complete)
            return
        if arguments[0] not in VERBS:
            raise ConfigError(f"the first word must be one of {', '.join(VERBS)}; found {arguments[0]!r}")
        with check_working_folder():
            VERBS[arguments[0]](arguments[1:])
    except SurvlstmError as error:
        if any(argument.lower() == "verbose=true" for argument in arguments):
            raise
        if not error.reported:
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        begun = " A run that had begun goes on with survlstm train resume=RUN" if arguments[0] == "train" else ""
        sys.stderr.write(f"Interrupted.{begun}\n")
        sys.exit(130)


def _complete(verb: str, arguments: list[str]) -> None:
    # The name that hydra tells the shell.
    sys.argv = ["survlstm", *arguments]
    hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=verb)(_train)()


def _run_hydra(config_name: str, arguments: list[str], job: Callable[[DictConfig], None]) -> None:
    sys.argv = [f"survlstm {config_name}", *arguments]
    hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=config_name)(job)()


def _train(composed: DictConfig) -> None:
    # torch comes with it: seconds that a wrong override need not wait for.
    from survlstm.runs.launch import start

    config = validate(composed, RunConfig)
    hydra_config = HydraConfig.get()
    folder, overrides = Path(hydra_config.runtime.output_dir), list(hydra_config.overrides.task)
    run_reporting_errors(lambda: start(config, folder, overrides=overrides), verbose=config.verbose)


def _train_job(composed: DictConfig) -> None:
    from survlstm.sweeps.job import run_job

    hydra_config = HydraConfig.get()
    folder, overrides = Path(hydra_config.runtime.output_dir), list(hydra_config.overrides.task)
    jobs_at_once = int(hydra_config.launcher.get("n_jobs") or 1)
    # Another launcher's process has not come through main.
    with lenient_console():
        run_reporting_errors(
            lambda: run_job(composed, folder, overrides=overrides, jobs_at_once=jobs_at_once), verbose=False
        )


def _simulate(composed: DictConfig) -> None:
    from survlstm.simulation import simulate_cohort

    config = validate(composed, SimulateConfig)

    def job() -> None:
        with logging_to(None):
            simulate_cohort(
                Path(config.output).expanduser(),
                patients=config.patients,
                seed=config.seed,
                history_years=config.history_years,
                end_date=datetime.date.fromisoformat(config.end_date),
                progress=True,
            )

    run_reporting_errors(job, verbose=config.verbose)


def _evaluate(composed: DictConfig) -> None:
    from survlstm.runs.evaluate import evaluate as judge_again

    folder = Path(HydraConfig.get().runtime.output_dir)
    config = validate(composed, EvaluateConfig).model_copy(update={"output_dir": str(folder)})

    def job() -> None:
        refuse_unusable(folder)
        with logging_to(folder / "evaluation.log"):
            judge_again(config, folder)

    run_reporting_errors(job, verbose=config.verbose)
