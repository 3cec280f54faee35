"""A model and batches → hazards of every subject, in evaluation mode."""

from __future__ import annotations

import logging
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from tqdm import tqdm

from survlstm.data.batches import Batch, Batches
from survlstm.data.ragged import flat_positions
from survlstm.survival.hazard import hazard, survival
from survlstm.survival.loss import nll_per_subject
from survlstm.survival.steps import at_risk_mask, event_mask
from survlstm.training.distributed import SINGLE_PROCESS, ProcessGroup
from survlstm.training.out_of_memory import is_out_of_memory, requested_memory
from survlstm.utils.errors import OutOfMemoryError

log = logging.getLogger(__name__)


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
def predict_split(
    model: nn.Module, batches: Batches, device: torch.device, *, process_group: ProcessGroup = SINGLE_PROCESS
) -> Predictions:
    """Hazard, survival and negative log-likelihood of every subject of a split, in double precision on the host.

    Of several processes each computes some batches, and has all the hazards in the end.
    """
    model.eval()
    step, event = batches.tensors.step[batches.members], batches.tensors.event[batches.members]
    row_of = np.empty(len(batches.tensors.step), dtype=np.int64)
    row_of[batches.members] = np.arange(len(step))
    label = torch.from_numpy(step)
    is_landmark = batches.tensors.clock == "landmark"
    at_risk = at_risk_mask(label, steps=batches.tensors.steps if is_landmark else int(step.max()) + 1)
    logits = torch.zeros(at_risk.shape, dtype=torch.float64)
    own = batches.in_order()[process_group.rank :: process_group.size]
    read = [
        part
        for chosen in tqdm(own, desc="Evaluating", disable=None if process_group.is_main else True, leave=False)
        for part in _read(model, batches, chosen, device)
    ]
    # Only now does the host wait for the device.
    for chosen, batch, found in read:
        if is_landmark:
            logits[row_of[chosen]] = found.double().cpu()
            continue
        # The counted visits are, row after row, steps 0..step of one chosen subject after the other.
        steps = torch.from_numpy(step[row_of[chosen]] + 1)
        row = torch.repeat_interleave(torch.from_numpy(row_of[chosen]), steps)
        number = torch.from_numpy(flat_positions(np.zeros(len(chosen), dtype=np.int64), steps.numpy()))
        logits[row, number] = found.double().cpu()[batch.slot][batch.at_risk[batch.slot]]
    # Each hazard comes from one process, the others have 0 there.
    logits = process_group.all_reduce_sum(logits)
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


class _Part(NamedTuple):
    chosen: np.ndarray
    batch: Batch
    logits: Tensor


def _read(model: nn.Module, batches: Batches, chosen: np.ndarray, device: torch.device) -> list[_Part]:
    """The logits of some subjects, in halves where memory does not suffice: they do not hang on the batch."""
    try:
        batch = batches.collate(chosen)
        return [_Part(chosen, batch, model(*batch.to(device).inputs))]
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        if len(chosen) == 1:
            raise OutOfMemoryError(
                f"out of memory with one subject of {batches.visits(chosen)[0]:,} visits on {device}: "
                f"{requested_memory(error)}. "
                "Try data.max_visits=50 or model=lstm_small"
            ) from error
    log.warning("out of memory while evaluating %d subjects at once; halves are tried", len(chosen))
    return [part for half in np.array_split(chosen, 2) for part in _read(model, batches, half, device)]
