"""Compute the figures of an epoch on the validation subjects."""

from __future__ import annotations

import dataclasses
import logging
import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int64

from survlstm.data.batches import Batches
from survlstm.models.protocol import VisitEncoder
from survlstm.survival.concordance import concordance_td
from survlstm.training.auxiliary import auxiliary_losses
from survlstm.training.prediction import predict_split
from survlstm.training.train_step import TrainStep

log = logging.getLogger(__name__)


class Validation(NamedTuple):
    """Figures of the validation subjects.

    Attributes:
        loss: The loss that early stopping compares: the mean negative log-likelihood, in nats per subject. Without the
            loss of the outcome it is the weighted sum of the auxiliary losses.
        c_td: Time-dependent C-index (Antolini); NaN without the loss of the outcome.
        auxiliary: Mean losses of the next codes and of the time to the next visit; None for one that is left out.
        nll: Negative log-likelihood of each row; None without the loss of the outcome.
        subject: Subject of each row; None without the loss of the outcome.
    """

    loss: float
    c_td: float
    auxiliary: tuple[float | None, float | None] = (None, None)
    nll: Float[np.ndarray, " row"] | None = None
    subject: Int64[np.ndarray, " row"] | None = None


def validate(train_step: TrainStep, val: Batches) -> Validation:
    """Evaluate the present model on the validation subjects, and log the figures.

    Args:
        train_step: The model and its device.
        val: The validation subjects.

    Returns:
        The figures, which need not be finite.
    """
    process_group, model, heads = train_step.process_group, train_step.model, train_step.auxiliary
    # The minimum over ranks (the maximum of the negatives): one rank may have halved its micro-batches alone, and all
    # ranks must divide the subjects into the same batches.
    size = -process_group.all_reduce_max(-(train_step.micro_batch_size or val.batch_size))
    val = dataclasses.replace(val, batch_size=min(val.batch_size, size))
    loss, c_td, nll, subject = math.nan, math.nan, None, None
    if train_step.has_outcome_loss:
        predictions = predict_split(model, val, train_step.device, process_group=process_group)
        c_td = concordance_td(
            predictions.survival, step=predictions.step, event=predictions.event, group=predictions.group
        ).c_td
        nll, subject = predictions.nll, predictions.subject
        loss = float(nll.mean())
        log.info("Val loss: %.4f, C-index (c_td): %.4f", loss, c_td)
    if heads is None:
        return Validation(loss, c_td, nll=nll, subject=subject)
    assert isinstance(model, VisitEncoder)
    model.eval()
    losses = auxiliary_losses(model, heads, val, train_step.device, process_group=process_group)
    found = heads.as_means(losses)
    if not train_step.has_outcome_loss:
        loss = float(losses @ heads.weights.cpu().double())
    log.info("Val loss of the next visit: %s", describe_auxiliary(found))
    return Validation(loss, c_td, found, nll, subject)


def describe_auxiliary(found: tuple[float | None, float | None]) -> str:
    """Describe the auxiliary losses for the log.

    Args:
        found: Mean losses of the next codes and of the time to the next visit.
    """
    codes, time = found
    parts = [] if codes is None else [f"codes {codes:.4f} nats"]
    return ", ".join(parts if time is None else [*parts, f"time {time:.4f} squared log days"])
