"""Compute the hazards of all subjects of a split with a trained model."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn.functional import softplus
from tqdm import tqdm

from survlstm.data.batches import Batch, Batches
from survlstm.survival.hazard import hazard, survival
from survlstm.survival.loss import nll_per_subject
from survlstm.survival.steps import at_risk_mask, event_mask
from survlstm.training.distributed import SINGLE_PROCESS, ProcessGroup
from survlstm.training.out_of_memory import is_out_of_memory, requested_memory
from survlstm.utils.errors import OutOfMemoryError
from survlstm.utils.ragged import flat_positions

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Predictions:
    """Labels and predictions of the subjects of a split, in the split's order.

    On the days clock a row is a prediction time of a subject; on the other clocks it is a subject.

    On the visit clock hazard and survival are NaN after the last at-risk step, where they would use later visits. On
    the other clocks they are known for every step. See ``docs/conventions.md``.

    Attributes:
        subject: Index of the row's subject in the tensors.
        step: Index of the last at-risk step.
        event: Whether the event happened in that step; otherwise the subject is censored.
        hazard: Probability of the event in each step, given none before.
        survival: Probability of no event up to the end of each step.
        nll: Negative log-likelihood, in nats.
        row: Index of the row in the tensors. None stands for ``subject``.
    """

    subject: Int64[np.ndarray, " row"]
    step: Int64[np.ndarray, " row"]
    event: Bool[np.ndarray, " row"]
    hazard: Float[np.ndarray, "row step"]
    survival: Float[np.ndarray, "row step"]
    nll: Float[np.ndarray, " row"]
    row: Int64[np.ndarray, " row"] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.row is None:
            object.__setattr__(self, "row", self.subject)

    @property
    def group(self) -> Int64[np.ndarray, " row"] | None:
        """``subject``; None if every subject has one row."""
        return None if len(np.unique(self.subject)) == len(self.subject) else self.subject

    def at(self, chosen: np.ndarray) -> Predictions:
        """Select rows.

        Args:
            chosen: Mask or indices of the rows.
        """
        values = {field.name: getattr(self, field.name)[chosen] for field in dataclasses.fields(self)}
        return Predictions(**values)


@torch.no_grad()
def predict_split(
    model: nn.Module, batches: Batches, device: torch.device, *, process_group: ProcessGroup = SINGLE_PROCESS
) -> Predictions:
    """Compute hazard, survival and negative log-likelihood of every subject of a split.

    The model is set to evaluation mode. Its logits are converted to double precision on the CPU.

    Args:
        model: The model, on ``device``.
        batches: The subjects of the split.
        device: Where the logits are computed.
        process_group: Its ranks share the batches; each of them returns all predictions.

    Returns:
        Labels and predictions, the rows of each subject in the order of ``batches.members``.

    Raises:
        OutOfMemoryError: The memory does not suffice for a single subject.
    """
    model.eval()
    data, rows = batches.tensors, batches.rows(batches.members)
    step, event = data.step[rows], data.event[rows]
    place = np.empty(len(data.step), dtype=np.int64)
    place[rows] = np.arange(len(rows))
    label = torch.from_numpy(step)
    at_risk = at_risk_mask(label, steps=data.steps if data.in_days else int(step.max()) + 1)
    logits = torch.zeros(at_risk.shape, dtype=torch.float64)
    own_batches = batches.in_order()[process_group.rank :: process_group.size]
    parts = [
        part
        for chosen in tqdm(own_batches, desc="Evaluating", disable=None if process_group.is_main else True, leave=False)
        for part in _logits(model, batches, chosen, device)
    ]
    # The host waits for the device only here, after all batches have been queued there.
    for chosen, batch, part_logits in parts:
        at = place[batches.rows(chosen)]
        if data.in_days:
            logits[at] = part_logits.double().cpu()
            continue
        # The at-risk visits of a batch, in the order of its rows, are steps 0..step of each subject in turn.
        steps = torch.from_numpy(step[at] + 1)
        row = torch.repeat_interleave(torch.from_numpy(at), steps)
        number = torch.from_numpy(flat_positions(np.zeros(len(chosen), dtype=np.int64), steps.numpy()))
        logits[row, number] = part_logits.double().cpu()[batch.inputs.slot][batch.at_risk[batch.inputs.slot]]
    # Each logit was computed by one rank and is 0 on the others.
    logits = process_group.all_reduce_sum(logits)
    events = event_mask(label, torch.from_numpy(event), steps=at_risk.shape[1])
    known = torch.ones_like(at_risk) if data.in_days else at_risk
    nll = nll_per_subject(logits, at_risk=at_risk, event=events)
    if data.clock == "days":
        nll = nll + _partial_nll(logits, label, torch.from_numpy(data.exposure[rows]))
    return Predictions(
        data.row_subject[rows],
        step,
        event,
        hazard(logits).where(known, torch.nan).numpy(),
        survival(logits).where(known, torch.nan).numpy(),
        nll.numpy(),
        rows,
    )


def _partial_nll(logits: Tensor, step: Tensor, exposure: Tensor) -> Tensor:
    """Return the negative log-likelihood of the observed share of the interval after ``step``, [row]."""
    after = (step + 1).clamp(max=logits.shape[1] - 1)
    # -log(1 - h) = softplus(logit)
    return exposure * softplus(logits.gather(1, after[:, None])[:, 0])


class _Part(NamedTuple):
    chosen: np.ndarray
    batch: Batch
    logits: Tensor


def _logits(model: nn.Module, batches: Batches, chosen: np.ndarray, device: torch.device) -> list[_Part]:
    """Compute the logits of some subjects, in halves where the memory does not suffice.

    A subject's logits do not depend on the other subjects of its batch.
    """
    try:
        batch = batches.collate(chosen)
        return [_Part(chosen, batch, model(batch.to(device).inputs))]
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        if len(chosen) == 1:
            raise OutOfMemoryError(
                f"out of memory with one subject of {batches.visits(chosen)[0]:,} visits on {device}: "
                f"{requested_memory(error)}. "
                "Try data.max_visits=50 or model=lstm_small"
            ) from error
    log.warning("out of memory while evaluating %d subjects at once; trying again with half of them", len(chosen))
    return [part for half in np.array_split(chosen, 2) for part in _logits(model, batches, half, device)]
