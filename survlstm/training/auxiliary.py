"""Auxiliary losses: predict the codes of the next visit and the time to it from the state at each visit."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from survlstm.data.batches import Batches
from survlstm.data.targets import days_between
from survlstm.models.protocol import ModelInputs, VisitEncoder
from survlstm.training.distributed import SINGLE_PROCESS, ProcessGroup
from survlstm.utils.errors import ConfigError
from survlstm.utils.ragged import flat_positions

# Codes that are predicted, at most: those that most visits have. The loss has one logit for each of them and visit, so
# that its cost does not grow with the vocabulary.
MOST_CODES = 1000
# Numbers of the vocabulary without a target: padding and the code that stands for all unknown ones.
WITHOUT_TARGET = 2


class NextVisits(NamedTuple):
    """Counts of the visits of a split that follow another visit of their row.

    Attributes:
        pairs: Number of these visits.
        log_days: Mean of log(1 + days since the visit before).
        codes: Number of these visits that hold each code of the vocabulary.
    """

    pairs: int
    log_days: float
    codes: Int64[np.ndarray, " vocabulary"]


def describe_next_visits(batches: Batches, *, vocabulary_size: int) -> NextVisits:
    """Count the visits that follow another one in the rows of a split.

    Args:
        batches: The subjects of the split. Visits that no batch holds are not read.
        vocabulary_size: Number of codes that the model knows.

    Returns:
        The counts.

    Raises:
        ConfigError: No visit follows another one.
    """
    data, rows = batches.tensors, batches.windows(batches.members)
    first = data.visit_offsets[batches.members][rows.owner] + rows.start
    visit = flat_positions(first + 1, rows.length - 1)
    if not len(visit):
        raise ConfigError(
            "trainer.auxiliary needs records with two visits; found none among the training subjects. Set both weights "
            "to 0"
        )
    codes = data.code_offsets[visit + 1] - data.code_offsets[visit]
    code = data.code[flat_positions(data.code_offsets[visit], codes)].astype(np.int64)
    # A code that a visit holds twice counts once.
    distinct = np.unique(np.repeat(np.arange(len(visit)), codes) * vocabulary_size + code)
    days = days_between(data.visit_time[visit - 1], data.visit_time[visit])
    return NextVisits(
        len(visit), float(np.log1p(days).mean()), np.bincount(distinct % vocabulary_size, minlength=vocabulary_size)
    )


class AuxiliaryHeads(nn.Module):
    """Linear layers that predict the next visit of a row from the state at a visit.

    They belong to the training and not to the model: no bundle and no ``best.pt`` holds them. The last visit of a row
    has no target. Targets are visits of the batch, so that nothing after the observed record is read; on the visit
    clock they lie before the event or the censoring.

    The codes are one task each: the loss of a visit is the sum over the codes of the binary cross-entropy, in nats, of
    whether the next visit holds the code. The time is one number, log(1 + days to the next visit), with the squared
    error as its loss. The biases start at the means of the training subjects.

    Args:
        state_size: Number of values of a state.
        found: The next visits of the training subjects.
        next_codes_weight: Weight of the codes' loss in the sum that is minimised; 0 leaves it out.
        next_visit_weight: Weight of the time's loss; 0 leaves it out.
        only: Whether the loss of the outcome is left out.

    Attributes:
        only: Whether the loss of the outcome is left out.
        weights: Both weights; shape (2,).
        sums: Sums over the subjects of the epoch so far of both losses. They are part of the state, so that a resumed
            run reports the same means.
    """

    weights: Tensor
    sums: Tensor
    _column: Tensor

    def __init__(
        self,
        state_size: int,
        found: NextVisits,
        *,
        next_codes_weight: float,
        next_visit_weight: float,
        only: bool,
    ) -> None:
        super().__init__()
        self.only = only
        # Ties between codes of equally many visits are broken by their numbers.
        order = WITHOUT_TARGET + np.argsort(-found.codes[WITHOUT_TARGET:], kind="stable")
        targets = order[found.codes[order] > 0][:MOST_CODES]
        column = np.full(len(found.codes), len(targets))
        column[targets] = np.arange(len(targets))
        self.register_buffer("_column", torch.from_numpy(column), persistent=False)
        self.register_buffer("weights", torch.tensor([next_codes_weight, next_visit_weight]), persistent=False)
        self.register_buffer("sums", torch.zeros(2, dtype=torch.float64))
        # Between 0 and 1, also for a code of every visit.
        share = torch.from_numpy((found.codes[targets] + 0.5) / (found.pairs + 1)).float()
        self.next_codes = _starting_at(state_size, share.logit()) if next_codes_weight else None
        self.next_visit = _starting_at(state_size, torch.tensor([found.log_days])) if next_visit_weight else None

    def forward(self, states: Float[Tensor, "slot state"], inputs: ModelInputs) -> Float[Tensor, " 2"]:
        """Compute the sums of both losses over the pairs of a visit and the next one.

        Args:
            states: State of each slot.
            inputs: The visits of the batch.

        Returns:
            The sums of the codes' and of the time's losses, not yet weighted; 0 for one that is left out.
        """
        # The pairs of consecutive visits in ``inputs.slot``; those that join two rows count 0.
        here, following = inputs.slot[:-1], inputs.slot[1:]
        counts = torch.ones(len(here), device=states.device)
        counts[inputs.visits_per_row.cumsum(0)[:-1] - 1] = 0.0
        losses = counts.new_zeros(2)
        before = states[here]
        if self.next_codes is not None:
            logits = self.next_codes(before).float()
            each = binary_cross_entropy_with_logits(logits, self._targets(following, inputs), reduction="none")
            losses[0] = (each.sum(dim=1) * counts).sum()
        if self.next_visit is not None:
            days = (inputs.visit_days[following] - inputs.visit_days[here]).clamp(min=0.0)
            error = self.next_visit(before).float().squeeze(1) - days.log1p()
            losses[1] = (error.square() * counts).sum()
        return losses

    def _targets(self, following: Tensor, inputs: ModelInputs) -> Float[Tensor, "pair code"]:
        """Return 1 where the visit in a slot holds a code, [pair, code]."""
        assert self.next_codes is not None
        pairs, codes = len(following), self.next_codes.out_features
        # Slots of padding and codes without a target write to a row and a column that are cut off.
        pair = following.new_full((inputs.slots,), pairs)
        pair[following] = torch.arange(pairs, device=following.device)
        held = torch.zeros(pairs + 1, codes + 1, device=following.device)
        held[pair[inputs.code_slot], self._column[inputs.codes]] = 1.0
        return held[:pairs, :codes]

    def take_means(self, subjects: int) -> tuple[float | None, float | None]:
        """Return the mean losses of the epoch, and begin another one.

        Args:
            subjects: Number of training subjects.

        Returns:
            Mean loss of the codes, in nats per visit, and of the time, in squared log days; None for one that is left
            out.
        """
        means = self.as_means(self.sums / subjects)
        self.sums.zero_()
        return means

    def as_means(self, losses: Float[Tensor, " 2"]) -> tuple[float | None, float | None]:
        """Return both losses as numbers; None for one that is left out.

        Args:
            losses: The losses.
        """
        codes, time = losses.tolist()
        return None if self.next_codes is None else codes, None if self.next_visit is None else time


def _starting_at(state_size: int, bias: Tensor) -> nn.Linear:
    layer = nn.Linear(state_size, len(bias))
    with torch.no_grad():
        layer.bias.copy_(bias)
    return layer


@torch.no_grad()
def auxiliary_losses(
    model: VisitEncoder,
    heads: AuxiliaryHeads,
    batches: Batches,
    device: torch.device,
    *,
    process_group: ProcessGroup = SINGLE_PROCESS,
) -> Float[Tensor, " 2"]:
    """Compute the auxiliary losses of a split.

    Args:
        model: The model on ``device``, in evaluation mode.
        heads: The heads, on the same device.
        batches: The subjects of the split.
        device: Where the states are computed.
        process_group: Its ranks share the batches.

    Returns:
        Means over the pairs of visits of the split, of the codes' and of the time's loss; float64 on the CPU.
    """
    sums = torch.zeros(2, dtype=torch.float64, device=device)
    for chosen in batches.in_order()[process_group.rank :: process_group.size]:
        inputs = batches.collate(chosen).to(device).inputs
        sums += heads(model.encode(inputs), inputs)
    return process_group.all_reduce_sum(sums.cpu()) * (batches.pair_weight / len(batches.members))
