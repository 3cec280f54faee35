"""Codes of visits → one logit per step: embedding, LSTM over visits, head."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from survlstm.survival.hazard import cumulative_hazard, survival


class SurvivalCurves(NamedTuple):
    """What ``predict_survival`` returns: P(no event through step j), and the summed hazards."""

    survival: Float[Tensor, "subject step"]
    cumulative_hazard: Float[Tensor, "subject step"]


class DiscreteTimeSurvivalLSTM(nn.Module):
    """Hazards from visits: of each step from the visits up to it, or of the intervals after the last visit.

    A visit is the mean of its codes' embeddings, with ``visit_features`` numbers beside it; an LSTM reads the visits in
    order; Linear, ReLU, Dropout, Linear give the logit of the hazard. With ``intervals`` None, for the visit clock, a
    visit has one logit; the LSTM being causal, that of step j depends on visits 0..j only. With K ``intervals``, for
    the landmark clock, a row has K logits, from the state at its last visit. With 776 codes, 128/256/2, no visit
    features and no intervals there are 1,086,977 parameters.

    ``mean_hazard`` is what the hazards start near: one for all steps, or one for each interval.
    """

    def __init__(
        self,
        *,
        vocabulary_size: int,
        embedding_dim: int,
        hidden_dim: int,
        num_layers: int,
        dropout: float,
        visit_features: int,
        intervals: int | None,
        mean_hazard: Sequence[float],
    ) -> None:
        super().__init__()
        self.intervals = intervals
        self.embedding = nn.EmbeddingBag(vocabulary_size, embedding_dim, mode="mean", padding_idx=0)
        self.lstm = nn.LSTM(
            embedding_dim + visit_features,
            hidden_dim,
            num_layers,
            batch_first=True,
            dropout=dropout if num_layers > 1 else 0.0,
        )
        logit = nn.Linear(hidden_dim, intervals or 1)
        # Starting at the mean training hazard spends no epoch on finding it.
        with torch.no_grad():
            logit.bias.copy_(torch.tensor([math.log(hazard / (1 - hazard)) for hazard in mean_hazard]))
        self.head = nn.Sequential(nn.Linear(hidden_dim, hidden_dim), nn.ReLU(), nn.Dropout(dropout), logit)

    def forward(  # noqa: PLR0917  (a batch's inputs, in the order a batch holds them)
        self,
        codes: Int[Tensor, " code"],
        code_offsets: Int[Tensor, " visit"],
        visit_features: Float[Tensor, "visit feature"],
        visit_position: Int[Tensor, " visit"],
        rows: int,
        length: int,
    ) -> Float[Tensor, "{rows} step"]:
        """Logit per row and step; visit v stands at ``visit_position[v]`` of the flattened [row, position].

        Positions rise, row after row. Without intervals a step is a position, and positions without a visit hold a
        logit of 0 that means nothing: mask it.
        """
        visits = torch.cat([self.embedding(codes, code_offsets), visit_features], dim=1)
        padded = visits.new_zeros(rows * length, visits.shape[1]).index_copy(0, visit_position, visits)
        states, _ = self.lstm(padded.view(rows, length, -1))
        states = states.flatten(0, 1)
        if self.intervals is not None:
            ends = torch.arange(1, rows + 1, device=visit_position.device) * length
            return self.head(states[visit_position[torch.searchsorted(visit_position, ends) - 1]])
        # The head sees visits only; a fifth of the positions is padding.
        logits = self.head(states[visit_position]).squeeze(-1)
        return logits.new_zeros(rows * length).index_copy(0, visit_position, logits).view(rows, length)

    @torch.no_grad()
    def predict_survival(self, *inputs: Tensor | int) -> SurvivalCurves:
        """Survival and cumulative hazard per step, in evaluation mode and on the host; takes what ``forward`` takes."""
        was_training = self.training
        self.eval()
        # On CUDA a running sum has no deterministic kernel.
        logits = self(*inputs).cpu()
        self.train(was_training)
        return SurvivalCurves(survival(logits), cumulative_hazard(logits))
