"""Evaluate the best model of a finished run again, on one of its own splits or on another cohort."""

from __future__ import annotations

import datetime
import logging
from pathlib import Path

from survlstm.config.schema.commands import EvaluateConfig
from survlstm.config.schema.run import RunConfig
from survlstm.config.schema.section import as_yaml
from survlstm.data.external_cohort import combine_with_cohort
from survlstm.data.factory import build_prepared
from survlstm.data.prepared_data import PreparedData
from survlstm.data.split import Split
from survlstm.evaluation.results import EvaluationSummary
from survlstm.report.console_summary import log_preparation, log_task
from survlstm.report.task import RunDescription, describe_task, time_rules
from survlstm.runs.assessment import Assessment, assess
from survlstm.runs.descriptions import describe_measures
from survlstm.runs.finished import FinishedRun, open_run
from survlstm.training.device import choose_device
from survlstm.training.seeding import seed_everything
from survlstm.utils.errors import CohortError, ConfigError
from survlstm.utils.files import write_text
from survlstm.utils.write_access import report_write_errors

log = logging.getLogger(__name__)


def evaluate(config: EvaluateConfig, folder: Path) -> EvaluationSummary:
    """Evaluate a run's best model and write the results to ``folder``.

    Args:
        config: The config of ``survlstm evaluate``. If it names data, the whole cohort there is the test split.
        folder: The folder for the results; it must exist.

    Returns:
        The summary of the evaluation.

    Raises:
        CohortError: If the split has no subject, or the run's own data can't be restored.
        ConfigError, CheckpointError: If the run can't be read.
    """
    started = datetime.datetime.now(datetime.UTC)
    run = open_run(Path(config.run).expanduser().resolve(), allow=config.allow)
    device, taken = choose_device(config.device)
    task = describe_task(run.config, config.data)
    log_task(task)
    log.info("Run: %s (epoch %d)\nFolder: %s\nDevice: %s", run.folder, run.best["epoch"], folder, taken)
    with report_write_errors(folder):
        write_text(folder / "config.yaml", as_yaml(config))
    seed_everything(run.config.seed, deterministic=run.config.trainer.deterministic)
    evaluation = config.evaluation or run.config.evaluation
    settings = run.config.model_copy(update={"evaluation": evaluation})
    prepared = run.data_with_times(config.cache_dir, evaluation.times)
    if config.data is None:
        log_preparation(prepared)
    else:
        prepared = _other_cohort(run, config, prepared, settings)
    evaluated = Split[config.split.upper()]
    if not len(prepared.tensors.members(evaluated)):
        raise CohortError(f"the {config.split} split must hold a subject; found none. Choose another split")
    subjects = "another cohort" if config.data else f"its {config.split} split"
    assessment = Assessment(
        description=RunDescription(
            f"{run.folder.name}, evaluated on {subjects}", task, as_yaml(config), time_rules(settings)
        ),
        config=settings,
        prepared=prepared,
        evaluated=evaluated,
        model=run.model().to(device),
        device=device,
        history=None,
        another_cohort=config.data is not None,
        origin={"evaluated run": str(run.folder), "epoch": str(run.best["epoch"])},
        started=started,
        descriptions=describe_measures(run.config, config.cache_dir, prepared.flow.values),
    )
    summary = assess(assessment, folder)
    log.info("Evaluation complete! Everything is in %s", folder)
    return summary


def _other_cohort(run: FinishedRun, config: EvaluateConfig, own: PreparedData, settings: RunConfig) -> PreparedData:
    """Prepare the other cohort as the run's data were, beside the run's training and validation subjects."""
    assert config.data is not None, "asked only where another cohort is named"
    where = {name: getattr(config.data, name) for name in ("path", "simulated", "source", "demographics")}
    data = run.config.data.model_copy(update=where)
    if data != config.data:
        log.warning("visits, min_visits, max_visits, static, code_groups and max_codes_per_visit are those of the run")
    clock = run.config.clock
    if clock.kind == "landmark" and not clock.placed_by and config.cohort.file is None:
        raise ConfigError(
            "the landmarks of this run were given by a file of prediction times, so that those of another cohort must "
            "be given too. Set cohort.file to a file with subject_id and prediction_time of its subjects"
        )
    # The rules are those of the run; its file and its sample name subjects of its own cohort.
    cohort = run.config.cohort.model_copy(update={"file": config.cohort.file, "sample": None})
    other = build_prepared(
        settings.model_copy(update={"data": data, "cohort": cohort, "cache_dir": config.cache_dir}),
        # That of the data beside which the cohort is evaluated: it has the features that a run of before lacks.
        preprocessing=own.preprocessing,
    )
    # Logged before the run's own subjects are added: these are counts and rates of the other cohort.
    log_preparation(other)
    applied = combine_with_cohort(own, other)
    left_out = applied.flow.subjects_excluded[-1]
    log.info("Left out, as %s: %d subjects (%d with the event)", *left_out)
    return applied
