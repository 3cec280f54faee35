"""One config → one trained and judged model in one folder: the story of a run."""

from __future__ import annotations

import datetime
import logging
from pathlib import Path

from survlstm.assessment import Assessment, assess
from survlstm.build import build_batches, build_model, build_optimizer, build_prepared, build_schedule
from survlstm.compose import as_yaml
from survlstm.config import RunConfig
from survlstm.data.split import Split
from survlstm.errors import TrainingError
from survlstm.judgement.health import not_finite
from survlstm.judgement.results import Verdict
from survlstm.report.summary import show_preparation, write_failure
from survlstm.training.checkpoint import Checkpointer
from survlstm.training.device import choose_device
from survlstm.training.seeding import seed_everything
from survlstm.training.starting_hazard import starting_hazard
from survlstm.training.stopping import EarlyStopping
from survlstm.training.trainer import Trainer

log = logging.getLogger(__name__)


def train(config: RunConfig, folder: Path) -> Verdict:
    """Prepare, train, judge; history, checkpoints, predictions, metrics and report end up in ``folder``."""
    started = datetime.datetime.now(datetime.UTC)
    device, taken = choose_device(config.trainer.device)
    log.info("Run folder: %s\nDevice: %s", folder, taken)
    (folder / "config.yaml").write_text(as_yaml(config), encoding="utf-8")
    generator = seed_everything(config.seed, deterministic=config.trainer.deterministic)

    prepared = build_prepared(config)
    show_preparation(prepared)
    train, val = (build_batches(config, prepared.tensors, part) for part in (Split.TRAIN, Split.VAL))

    mean_hazard = starting_hazard(prepared.tensors)
    model = build_model(
        config.model,
        vocabulary_size=len(prepared.vocabulary),
        intervals=prepared.fitted.intervals,
        mean_hazard=mean_hazard,
    ).to(device)
    optimizer = build_optimizer(config.optimizer, model)
    about = {
        "config": config.model_dump(by_alias=True),
        "fitted": prepared.fitted.as_plain(),
        "mean_hazard": mean_hazard,
        "data_fingerprint": prepared.fingerprint,
    }
    trainer = Trainer(
        model=model,
        optimizer=optimizer,
        scheduler=build_schedule(config.scheduler, optimizer),
        stopping=EarlyStopping(config.trainer.early_stopping.patience, config.trainer.early_stopping.min_delta),
        checkpointer=Checkpointer(folder, config.trainer.checkpoint_every, about),
        device=device,
        grad_clip=config.trainer.grad_clip,
        generator=generator,
    )
    try:
        history = trainer.fit(train, val, epochs=config.trainer.epochs)
    except TrainingError as error:
        write_failure(folder / "metrics.json", prepared, not_finite(error, config, trainer.history))
        raise
    assessment = Assessment(
        title=f"Run {folder.name}",
        asked=config,
        config=config,
        prepared=prepared,
        evaluated=Split.TEST,
        model=model,
        device=device,
        history=history,
        another_cohort=False,
        origin={},
        started=started,
    )
    verdict = assess(assessment, folder)
    log.info("Training complete! Everything is in %s", folder)
    return verdict
