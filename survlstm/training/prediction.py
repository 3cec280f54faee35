"""A model and batches → hazards of every subject, in evaluation mode."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import nn
from tqdm import tqdm

from survlstm.data.batches import Batches
from survlstm.data.ragged import ranges
from survlstm.survival.hazard import hazard, survival
from survlstm.survival.loss import nll_per_subject
from survlstm.survival.steps import at_risk_mask, event_mask


class Predictions(NamedTuple):
    """Per subject, in the order of its split.

    On the visit clock hazard and survival are NaN behind the last at-risk step: they would know later visits. On the
    landmark clock they are known for every step.
    """

    subject: Int64[np.ndarray, " subject"]
    step: Int64[np.ndarray, " subject"]
    event: Bool[np.ndarray, " subject"]
    hazard: Float[np.ndarray, "subject step"]
    survival: Float[np.ndarray, "subject step"]
    nll: Float[np.ndarray, " subject"]


@torch.no_grad()
def predict(model: nn.Module, batches: Batches, device: torch.device) -> Predictions:
    """Hazard, survival and negative log-likelihood of every subject of a split, in double precision on the host."""
    model.eval()
    step, event = batches.tensors.step[batches.members], batches.tensors.event[batches.members]
    row_of = np.empty(len(batches.tensors.step), dtype=np.int64)
    row_of[batches.members] = np.arange(len(step))
    label = torch.from_numpy(step)
    is_landmark = batches.tensors.clock == "landmark"
    at_risk = at_risk_mask(label, steps=batches.tensors.steps if is_landmark else int(step.max()) + 1)
    logits = torch.zeros(at_risk.shape, dtype=torch.float64)
    progress = tqdm(batches.in_order(), total=len(batches), desc="Evaluating", disable=None, leave=False)
    for chosen, batch in progress:
        found = model(*batch.to(device).inputs).double().cpu()
        if is_landmark:
            logits[row_of[chosen]] = found
            continue
        # The counted positions are, row after row, steps 0..step of one chosen subject after the other.
        steps = torch.from_numpy(step[row_of[chosen]] + 1)
        row = torch.repeat_interleave(torch.from_numpy(row_of[chosen]), steps)
        logits[row, torch.from_numpy(ranges(np.zeros(len(chosen), dtype=np.int64), steps.numpy()))] = found[
            batch.at_risk
        ]
    happened = event_mask(label, torch.from_numpy(event), steps=at_risk.shape[1])
    known = torch.ones_like(at_risk) if is_landmark else at_risk
    return Predictions(
        batches.members,
        step,
        event,
        hazard(logits).where(known, torch.nan).numpy(),
        survival(logits).where(known, torch.nan).numpy(),
        nll_per_subject(logits, at_risk=at_risk, event=happened).numpy(),
    )
