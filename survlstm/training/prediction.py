"""A model and batches → hazards of every subject, in evaluation mode."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import nn

from survlstm.data.batches import Batches
from survlstm.survival.hazard import hazard, survival
from survlstm.survival.loss import nll_per_subject


class Predictions(NamedTuple):
    """Per subject, in the order of its split: hazard and survival are NaN behind the last at-risk step."""

    subject: Int64[np.ndarray, " subject"]
    step: Int64[np.ndarray, " subject"]
    event: Bool[np.ndarray, " subject"]
    hazard: Float[np.ndarray, "subject step"]
    survival: Float[np.ndarray, "subject step"]
    nll: Float[np.ndarray, " subject"]


@torch.no_grad()
def predict(model: nn.Module, batches: Batches, device: torch.device) -> Predictions:
    """Hazard, survival and negative log-likelihood of every subject of a split."""
    model.eval()
    members = batches.members
    row_of = np.empty(len(batches.tensors.step), dtype=np.int64)
    row_of[members] = np.arange(len(members))
    step = batches.tensors.step[members]
    shape = (len(members), int(step.max()) + 1)
    hazards, survivals, nll = np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(len(members))
    for chosen, on_host in batches.in_order():
        batch = on_host.to(device)
        logits = model(*batch.inputs).float()
        rows = row_of[chosen]
        nll[rows] = nll_per_subject(logits, at_risk=batch.at_risk, event=batch.event).cpu().numpy()
        known = batch.at_risk
        logits = logits.double()
        hazards[rows, : batch.steps] = hazard(logits).where(known, torch.nan).cpu().numpy()
        survivals[rows, : batch.steps] = survival(logits).where(known, torch.nan).cpu().numpy()
    return Predictions(members, step, batches.tensors.event[members], hazards, survivals, nll)
