"""Codes of visits → one logit per step: embedding, LSTM over visits, head."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, Int32, Int64
from torch import Tensor, nn
from torch.nn.functional import relu

from survlstm.models.keyed_dropout import KeyedDropout
from survlstm.survival.hazard import cumulative_hazard, survival


class SurvivalCurves(NamedTuple):
    """What ``predict_survival`` returns: P(no event through step j), and the summed hazards; NaN behind a row's end."""

    survival: Float[Tensor, "row step"]
    cumulative_hazard: Float[Tensor, "row step"]


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
        # A module a layer: dropout comes between them.
        self.lstm = nn.ModuleList(
            nn.LSTM(hidden_dim if layer else embedding_dim + visit_features, hidden_dim) for layer in range(num_layers)
        )
        self.between = nn.ModuleList(
            KeyedDropout(dropout, units=hidden_dim, place=layer) for layer in range(1, num_layers)
        )
        logit = nn.Linear(hidden_dim, intervals or 1)
        # Starting at the mean training hazard spends no epoch on finding it.
        with torch.no_grad():
            logit.bias.copy_(torch.tensor([math.log(hazard / (1 - hazard)) for hazard in mean_hazard]))
        self.head = nn.Sequential(
            nn.Linear(hidden_dim, hidden_dim), nn.ReLU(), KeyedDropout(dropout, units=hidden_dim, place=0), logit
        )

    @staticmethod
    def weight_shapes(
        *,
        vocabulary_size: int,
        embedding_dim: int,
        hidden_dim: int,
        num_layers: int,
        visit_features: int,
        intervals: int | None,
    ) -> dict[str, tuple[int, ...]]:
        """Return the shape of every weight by its name in ``state_dict``, without making a weight."""
        gates = 4 * hidden_dim
        shapes: dict[str, tuple[int, ...]] = {"embedding.weight": (vocabulary_size, embedding_dim)}
        for layer in range(num_layers):
            inputs = hidden_dim if layer else embedding_dim + visit_features
            shapes |= {
                f"lstm.{layer}.weight_ih_l0": (gates, inputs),
                f"lstm.{layer}.weight_hh_l0": (gates, hidden_dim),
                f"lstm.{layer}.bias_ih_l0": (gates,),
                f"lstm.{layer}.bias_hh_l0": (gates,),
            }
        return shapes | {
            "head.0.weight": (hidden_dim, hidden_dim),
            "head.0.bias": (hidden_dim,),
            "head.3.weight": (intervals or 1, hidden_dim),
            "head.3.bias": (intervals or 1,),
        }

    def forward(  # noqa: PLR0917  (a batch's inputs, in the order a batch holds them)
        self,
        codes: Int[Tensor, " code"],
        code_offsets: Int[Tensor, " slot"],
        visit_features: Float[Tensor, "slot feature"],
        slices: tuple[tuple[int, int], ...],
        slot: Int64[Tensor, " visit"],
        visits_per_row: Int64[Tensor, " row"],
        noise: Int32[Tensor, " slot"] | None = None,
    ) -> Float[Tensor, " slot"] | Float[Tensor, "row interval"]:
        """Logits, one a slot or with intervals K a row; see survlstm.data.packing for what slices and slots are.

        A slot without a visit has no codes and a logit that means nothing: mask it. ``noise`` is the key of each slot's
        dropout, needed in training mode only.
        """
        embedded = self.embedding(codes, code_offsets)
        return self.read(embedded, visit_features, slices, slot, visits_per_row, noise)

    def read(  # noqa: PLR0917  (as above)
        self,
        embedded: Float[Tensor, "slot embedding"],
        visit_features: Float[Tensor, "slot feature"],
        slices: tuple[tuple[int, int], ...],
        slot: Int64[Tensor, " visit"],
        visits_per_row: Int64[Tensor, " row"],
        noise: Int32[Tensor, " slot"] | None = None,
    ) -> Float[Tensor, " slot"] | Float[Tensor, "row interval"]:
        """What ``forward`` does behind the embedding, so that a visit's codes may be weighed or left out."""
        states = torch.cat([embedded, visit_features], dim=1)
        for number, layer in enumerate(self.lstm):
            if number:
                states = self.between[number - 1](states, noise)
            states = _read(layer, states, slices)
        if self.intervals is not None:
            last = slot[visits_per_row.cumsum(0) - 1]
            states, noise = states[last], None if noise is None else noise[last]
        hidden, _, dropout, logit = self.head
        logits = logit(dropout(relu(hidden(states)), noise))
        return logits.squeeze(1) if self.intervals is None else logits

    @torch.no_grad()
    def predict_survival(self, *inputs: Tensor | tuple[tuple[int, int], ...] | None) -> SurvivalCurves:
        """Survival and cumulative hazard per step, in evaluation mode and on the host; takes what ``forward`` takes."""
        was_training = self.training
        self.eval()
        # On CUDA a running sum has no deterministic kernel.
        logits = self(*inputs).cpu()
        self.train(was_training)
        if self.intervals is None:
            slot, visits_per_row = inputs[4:6]
            assert isinstance(slot, Tensor)
            assert isinstance(visits_per_row, Tensor)
            logits = _rows(logits[slot.cpu()], visits_per_row.cpu())
        return SurvivalCurves(survival(logits), cumulative_hazard(logits))


def _read(layer: nn.Module, visits: Tensor, slices: tuple[tuple[int, int], ...]) -> Tensor:
    """States [slot, hidden] of one layer, slice after slice; the rows that go on take their state with them."""
    states, carried = [], None
    blocks = visits.split([rows * length for rows, length in slices])
    for block, (rows, length) in zip(blocks, slices, strict=True):
        if carried is not None:
            carried = tuple(state[:, :rows].contiguous() for state in carried)
        found, carried = layer(block.view(length, rows, -1), carried)
        states.append(found.view(rows * length, -1))
    return torch.cat(states) if len(states) > 1 else states[0]


def _rows(values: Float[Tensor, " visit"], visits_per_row: Int64[Tensor, " row"]) -> Float[Tensor, "row step"]:
    """Values of the visits, row after row, side by side; NaN behind a row's end."""
    is_visit = torch.arange(int(visits_per_row.max())) < visits_per_row[:, None]
    return torch.full(is_visit.shape, torch.nan, dtype=values.dtype).masked_scatter(is_visit, values)
