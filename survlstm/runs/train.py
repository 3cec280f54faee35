"""Train and evaluate one model in one folder."""

from __future__ import annotations

import datetime
import logging
from pathlib import Path
from typing import Any

from survlstm.config.schema.foreign import ForeignModelConfig
from survlstm.config.schema.run import RunConfig
from survlstm.config.schema.section import as_yaml
from survlstm.data.factory import build_batches, build_prepared
from survlstm.data.prepared_data import PreparedData
from survlstm.data.split import Split
from survlstm.evaluation.diagnostics.training_checks import non_finite_loss
from survlstm.evaluation.results import EvaluationSummary
from survlstm.models.factory import build_model
from survlstm.models.protocol import LinearStart
from survlstm.report.console_summary import log_preparation, write_failure
from survlstm.report.task import RunDescription, describe_task, time_rules
from survlstm.runs.assessment import Assessment, assess
from survlstm.runs.descriptions import describe_measures
from survlstm.runs.evaluation_settings import run_settings
from survlstm.runs.manifest import complete_manifest
from survlstm.runs.pretraining import start_encoder
from survlstm.training.budget import BudgetMeter
from survlstm.training.checkpoint import Checkpointer
from survlstm.training.device import choose_device
from survlstm.training.distributed import SINGLE_PROCESS, ProcessGroup
from survlstm.training.factory import build_auxiliary, build_train_step, build_trainer
from survlstm.training.initial_hazard import initial_hazard
from survlstm.training.linear_start import start_linear_part
from survlstm.training.model_checks import check_model
from survlstm.training.seeding import seed_everything
from survlstm.training.trainer import Callback
from survlstm.utils.errors import ConfigError, NotFiniteError
from survlstm.utils.files import write_text
from survlstm.utils.formatting import format_dollars, format_duration
from survlstm.utils.shell import format_command

log = logging.getLogger(__name__)


def train(
    config: RunConfig,
    folder: Path,
    *,
    state: dict[str, Any] | None,
    process_group: ProcessGroup = SINGLE_PROCESS,
    callbacks: tuple[Callback, ...] = (),
    judged: bool = True,
) -> EvaluationSummary | None:
    """Prepare the data, train, evaluate, and write history, checkpoints, predictions, metrics and report to ``folder``.

    Args:
        config: The validated config.
        folder: The run folder.
        state: The checkpoint to resume from; None for a new run.
        process_group: The processes that train the model together; all of them call this function.
        callbacks: Objects that are called after every epoch.
        judged: Whether to evaluate on the test subjects. If not, the test subjects are never used; with
            ``trainer.auxiliary.only`` they never are.

    Returns:
        The evaluation summary; None in processes other than the main one, and if nothing is evaluated.

    Raises:
        ConfigError: If the data are not those that the run was started with, or not the same in all processes.
        SurvlstmError: If the data can't be prepared, or training or evaluation fails.
    """
    started = datetime.datetime.now(datetime.UTC)
    budget = BudgetMeter(config.trainer.cost_per_hour, config.trainer.budget.hours, config.trainer.budget.dollars)
    device, taken = choose_device(config.trainer.device, local_rank=process_group.local_rank)
    log.info(
        "Run folder: %s\nDevice: %s%s",
        folder,
        taken,
        f"; {process_group.size} processes" if process_group.size > 1 else "",
    )
    if process_group.is_main:
        write_text(folder / "config.yaml", as_yaml(config))
    seed_everything(config.seed, deterministic=config.trainer.deterministic)

    with process_group.local_main_first():
        prepared = build_prepared(config)
    _refuse_other_data(prepared, process_group.broadcast(prepared.fingerprint), state)
    code = config.training_code()
    _refuse_other_code(code, state)
    log_preparation(prepared)
    only_encoder = config.trainer.auxiliary.only
    is_judged = process_group.is_main and judged and not only_encoder
    # Descriptions are read before the training: an own source that fails here then costs no trained model.
    descriptions = describe_measures(config, config.cache_dir, prepared.flow.values if is_judged else None)
    train, val = (build_batches(config, prepared.tensors, part) for part in (Split.TRAIN, Split.VAL))

    mean_hazard = initial_hazard(prepared.tensors)
    model = build_model(
        config.model,
        prepared.preprocessing.sizes,
        mean_hazard=mean_hazard,
    ).to(device)
    if isinstance(config.model, ForeignModelConfig):
        check_model(model, train, device, vocabulary_size=len(prepared.vocabulary))
        log.info("Checked: no hazard of %s depends on later visits or on other subjects", config.model.target)
    codes = len(prepared.vocabulary)
    if config.pretrain is not None and state is None:
        counts = start_encoder(model, config, prepared)
        if process_group.is_main:
            complete_manifest(folder, {"pretrained encoder": str(counts)})
    if isinstance(model, LinearStart) and state is None and not only_encoder:
        start_linear_part(model, train, vocabulary_size=codes, process_group=process_group)
    checkpointer = Checkpointer(
        folder,
        config.trainer.checkpoint.every_epochs,
        about={
            "config": config.model_dump(by_alias=True),
            "fitted": prepared.preprocessing.as_plain(),
            "mean_hazard": mean_hazard,
            "data_fingerprint": prepared.fingerprint,
            "code": code,
        },
    )
    auxiliary = build_auxiliary(config.trainer.auxiliary, model, train, vocabulary_size=codes)
    train_step = build_train_step(config, model, device, process_group, auxiliary=auxiliary)
    trainer = build_trainer(config, train_step, checkpointer, budget, callbacks)
    try:
        history = trainer.fit(train, val, epochs=config.trainer.epochs, state=state)
    except NotFiniteError as error:
        if process_group.is_main:
            found = non_finite_loss(error, run_settings(config), trainer.history)
            write_failure(folder / "metrics.json", prepared, found, task=describe_task(config))
        raise
    if not is_judged:
        if only_encoder:
            log.info("The encoder is trained; use it with %s", format_command("train", f"pretrain={folder}"))
        return None
    assessment = Assessment(
        description=RunDescription(f"Run {folder.name}", describe_task(config), as_yaml(config), time_rules(config)),
        config=config,
        prepared=prepared,
        evaluated=Split.TEST,
        model=model,
        device=device,
        history=history,
        another_cohort=False,
        origin={},
        started=started,
        descriptions=descriptions,
    )
    summary = assess(assessment, folder)
    cost = budget.cost(budget.seconds)
    shown_cost = "" if cost is None else f"; cost: {format_dollars(cost)}"
    log.info("Time with evaluation: %s%s", format_duration(budget.seconds), shown_cost)
    log.info("Training complete! Everything is in %s", folder)
    return summary


def _refuse_other_data(prepared: PreparedData, of_main: str, state: dict[str, Any] | None) -> None:
    if prepared.fingerprint != of_main:
        raise ConfigError(
            "all processes must prepare the same data; this one's differs from the main one's. Give every host the "
            "same export and the same survlstm"
        )
    if state is not None and prepared.fingerprint != state["about"]["data_fingerprint"]:
        raise ConfigError(
            "a run can only be resumed with the data it was started with; the export or survlstm has changed since. "
            "Restore the old export, or train again in another folder"
        )


def _refuse_other_code(code: dict[str, str], state: dict[str, Any] | None) -> None:
    before = {} if state is None else state["about"].get("code", {})
    changed = [target for target, digest in code.items() if before.get(target, digest) != digest]
    if changed:
        raise ConfigError(
            f"a run can only be resumed with the code it was started with; that of {', '.join(changed)} has changed "
            "since. Restore it, or train again in another folder"
        )
