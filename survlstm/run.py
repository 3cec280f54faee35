"""One config → one trained and judged model in one folder: the story of a run."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from survlstm.build import build_model, build_optimizer, build_prepared, build_schedule
from survlstm.compose import as_yaml
from survlstm.config import RunConfig
from survlstm.data.batches import Batches, feature_columns
from survlstm.data.outcomes.synthetic import padded_hazard
from survlstm.data.prepare import Prepared
from survlstm.data.split import Split
from survlstm.errors import OutcomeError
from survlstm.judgement.verdict import Contender, Verdict, covariate_free, judge
from survlstm.report.summary import show_preparation, show_verdict, write_metrics
from survlstm.training.checkpoint import Checkpointer
from survlstm.training.device import choose_device
from survlstm.training.prediction import Predictions, predict
from survlstm.training.seeding import seed_everything
from survlstm.training.stopping import EarlyStopping
from survlstm.training.trainer import Trainer

log = logging.getLogger(__name__)


def train(config: RunConfig, folder: Path) -> Verdict:
    """Prepare, train, judge; history.json, checkpoints, predictions and metrics.json end up in ``folder``."""
    device, taken = choose_device(config.trainer.device)
    log.info("Run folder: %s\nDevice: %s", folder, taken)
    (folder / "config.yaml").write_text(as_yaml(config), encoding="utf-8")
    generator = seed_everything(config.seed, deterministic=config.trainer.deterministic)

    prepared = build_prepared(config)
    show_preparation(prepared)
    batches = {part: _batches(prepared, part, config) for part in Split}

    mean_hazard = _mean_hazard(prepared)
    model = build_model(config.model, vocabulary_size=len(prepared.vocabulary), mean_hazard=mean_hazard).to(device)
    optimizer = build_optimizer(config.optimizer, model)
    about = {
        "config": config.model_dump(by_alias=True),
        "vocabulary": list(prepared.vocabulary.entries),
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
    history = trainer.fit(batches[Split.TRAIN], batches[Split.VAL], epochs=config.trainer.epochs)

    verdict = _judge(predict(model, batches[Split.TEST], device), prepared, config)
    show_verdict(verdict)
    write_metrics(folder / "metrics.json", prepared, history, verdict)
    log.info("Training complete! Everything is in %s", folder)
    return verdict


def _batches(prepared: Prepared, part: Split, config: RunConfig) -> Batches:
    return Batches(
        prepared.tensors,
        prepared.tensors.members(part),
        config.trainer.batch_size,
        feature_columns(config.model.visit_features),
        config.data.max_visits,
    )


def _mean_hazard(prepared: Prepared) -> float:
    """Events over at-risk steps of the training subjects."""
    members = prepared.tensors.members(Split.TRAIN)
    events, steps = int(prepared.tensors.event[members].sum()), int((prepared.tensors.step[members] + 1).sum())
    if not 0 < events < steps:
        raise OutcomeError(
            f"the training subjects must have events and survived steps; found {events} events in {steps} at-risk "
            "steps. Use a larger cohort or another outcome"
        )
    return events / steps


def _judge(predictions: Predictions, prepared: Prepared, config: RunConfig) -> Verdict:
    """The model first, then the oracle where there is one, then the model without covariates."""
    tensors, step = prepared.tensors, predictions.step
    training = tensors.members(Split.TRAIN)
    contenders = [Contender("model", np.nan_to_num(predictions.hazard))]
    if not np.isnan(tensors.oracle_hazard).any():
        first_visit = tensors.visit_offsets[predictions.subject]
        contenders.append(Contender("oracle", padded_hazard(tensors.oracle_hazard, first_visit, step)))
    contenders.append(
        covariate_free(
            tensors.step[training],
            tensors.event[training],
            subjects=len(step),
            steps=predictions.hazard.shape[1],
        )
    )
    return judge(contenders, step=step, event=predictions.event, seed=config.seed, **config.judgement.model_dump())
