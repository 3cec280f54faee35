"""LSTM over the visits of a health record that gives the logit of a discrete-time hazard for each step."""

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
    """Predicted curves, one row per row of the batch; NaN after the last step of a row.

    Attributes:
        survival: probability of no event in steps 0 … j, in column j; shape (row, step).
        cumulative_hazard: sum of the hazards of steps 0 … j, in column j; shape (row, step).
    """

    survival: Float[Tensor, "row step"]
    cumulative_hazard: Float[Tensor, "row step"]


class DiscreteTimeSurvivalLSTM(nn.Module):
    """LSTM over visits that predicts the logit of a discrete-time hazard per step.

    A row of a batch is the record of one subject, or a window of it: a sequence of visits, each with a set of codes and
    optional numbers. The model computes::

        visit    mean of the embeddings of its codes, joined with its numbers (embedding_dim + visit_features)
        state    one-directional LSTM over the visits of a row, num_layers deep, dropout between layers (hidden_dim)
        logit    Linear, ReLU, dropout, Linear on a state

    The two clocks of ``survlstm.survival.steps`` differ in the states that get a logit:

    - Visit clock, ``intervals=None``: every visit has one logit. That of visit j is for step j, the time from visit j
      to visit j+1. It depends on visits 0 … j only, because the LSTM reads in one direction.
    - Landmark clock, ``intervals=K``: every row has K logits, one per interval after the landmark, all from the state
      at the last visit of the row. The caller must end the row at the landmark.

    Hazards are ``sigmoid(logit)``; ``survlstm.survival.loss`` computes the loss from the logits.

    Rows differ in length. A batch is therefore neither a padded [row, visit] block nor a ``PackedSequence``, but a few
    slices of time (``survlstm.data.packing``). The first slice covers the first ``length`` visits of all rows, and each
    further slice the next visits of those rows that are long enough. Every (row, position) of a slice is a *slot*; the
    slots of a slice are ordered by position, then by row, the longest row first. A slot beyond the end of its row is
    padding. With rows of 3 and 1 visits and one slice::

        slices = ((2, 3),)              2 rows, 3 positions
        slots    0    1    2    3    4    5
        holds    a0   b0   a1   -    a2   -        a, b = rows; a1 = visit 1 of row a; - = padding
        slot   = [0, 2, 4, 1]           slots of a0, a1, a2, b0
        visits_per_row = [3, 1]

    Predictions do not depend on the slices, on padding, or on the other rows of a batch, up to rounding.

    With 776 codes, embedding_dim 128, hidden_dim 256, two layers, no visit features and the visit clock, the model has
    1,086,977 parameters.

    Args:
        vocabulary_size: number of embeddings, those of padding (0) and of unknown codes (1) included.
        embedding_dim: size of an embedding.
        hidden_dim: size of a state.
        num_layers: number of LSTM layers, at least 1.
        dropout: probability that a unit is dropped between layers and in the head; at least 0 and below 1.
        visit_features: number of numbers beside the codes of a visit; 0 = codes only.
        intervals: number K of intervals of the landmark clock; None = visit clock.
        mean_hazard: hazards that the model starts near, between 0 and 1, both excluded, such as the mean of the
            training subjects: one value on the visit clock, K values on the landmark clock.

    Example:
        >>> sizes = {"vocabulary_size": 30, "embedding_dim": 8, "hidden_dim": 16, "num_layers": 1, "dropout": 0.3}
        >>> model = DiscreteTimeSurvivalLSTM(**sizes, visit_features=0, intervals=None, mean_hazard=[0.1]).eval()
        >>> one_row_of_two_visits = torch.tensor([5, 9, 7]), torch.tensor([0, 2]), torch.zeros(2, 0), ((1, 2),)
        >>> model(*one_row_of_two_visits, torch.tensor([0, 1]), torch.tensor([2])).shape
        torch.Size([2])
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
        # One module per layer, because nn.LSTM with several layers has no keyed dropout between them.
        self.lstm = nn.ModuleList(
            nn.LSTM(hidden_dim if layer else embedding_dim + visit_features, hidden_dim) for layer in range(num_layers)
        )
        self.between = nn.ModuleList(
            KeyedDropout(dropout, units=hidden_dim, index=layer) for layer in range(1, num_layers)
        )
        logit = nn.Linear(hidden_dim, intervals or 1)
        # A model that starts at the mean hazard of the training subjects needs no epochs to learn it.
        with torch.no_grad():
            logit.bias.copy_(torch.tensor([math.log(hazard / (1 - hazard)) for hazard in mean_hazard]))
        self.head = nn.Sequential(
            nn.Linear(hidden_dim, hidden_dim), nn.ReLU(), KeyedDropout(dropout, units=hidden_dim, index=0), logit
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
        """Return the shape of every weight by its name in ``state_dict``, without building a model.

        Args:
            vocabulary_size: number of embeddings, those of padding and of unknown codes included.
            embedding_dim: size of an embedding.
            hidden_dim: size of a state.
            num_layers: number of LSTM layers, at least 1.
            visit_features: number of numbers beside the codes of a visit; 0 = codes only.
            intervals: number of intervals of the landmark clock; None = visit clock.

        Returns:
            Shapes by name.
        """
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

    def forward(  # noqa: PLR0917  (the inputs of a batch, in the order of Batch.inputs)
        self,
        codes: Int[Tensor, " code"],
        code_offsets: Int[Tensor, " slot"],
        visit_features: Float[Tensor, "slot feature"],
        slices: tuple[tuple[int, int], ...],
        slot: Int64[Tensor, " visit"],
        visits_per_row: Int64[Tensor, " row"],
        dropout_key: Int32[Tensor, " slot"] | None = None,
    ) -> Float[Tensor, " slot"] | Float[Tensor, "row interval"]:
        """Compute the logits of the hazards of a batch; the class describes slices and slots.

        Args:
            codes: number of every code in the vocabulary, slot after slot; shape (code,), int32 or int64. 0 is padding
                and is left out of the mean.
            code_offsets: position in ``codes`` at which each slot begins; shape (slot,), dtype of ``codes``. A slot
                without codes begins where the next one begins.
            visit_features: numbers of each slot beside its codes; float32 of shape (slot, feature), with 0 columns if
                the model has no visit features.
            slices: (rows, length) of each slice, in order of time.
            slot: slot of every visit, row after row and in order of time within a row; int64 of shape (visit,).
            visits_per_row: number of visits of each row, at least 1; int64 of shape (row,).
            dropout_key: key of each slot for the dropout; int32 of shape (slot,). Needed in training mode only.

        Returns:
            Logits of the hazards. On the visit clock shape (slot,): the logit of the step that begins at the slot's
            visit; ``logits[slot]`` has one entry per visit, row after row. On the landmark clock shape (row, interval).
            The logit of a slot of padding has no meaning: leave it out by a mask.

        Raises:
            ValueError: ``dropout_key`` is None in training mode with a dropout above 0.
        """
        embedded = self.embedding(codes, code_offsets)
        return self.logits_from_embedded(embedded, visit_features, slices, slot, visits_per_row, dropout_key)

    def logits_from_embedded(  # noqa: PLR0917  (as above)
        self,
        embedded: Float[Tensor, "slot embedding"],
        visit_features: Float[Tensor, "slot feature"],
        slices: tuple[tuple[int, int], ...],
        slot: Int64[Tensor, " visit"],
        visits_per_row: Int64[Tensor, " row"],
        dropout_key: Int32[Tensor, " slot"] | None = None,
    ) -> Float[Tensor, " slot"] | Float[Tensor, "row interval"]:
        """Compute the logits from embedded visits; ``forward`` without the embedding.

        It serves explanations, which leave out or weight the codes of a visit.

        Args:
            embedded: embedding of each slot; float32 of shape (slot, embedding).
            visit_features: numbers of each slot beside its codes; float32 of shape (slot, feature), with 0 columns if
                the model has no visit features.
            slices: (rows, length) of each slice, in order of time.
            slot: slot of every visit, row after row and in order of time within a row; int64 of shape (visit,).
            visits_per_row: number of visits of each row, at least 1; int64 of shape (row,).
            dropout_key: key of each slot for the dropout; int32 of shape (slot,). Needed in training mode only.

        Returns:
            Logits as those of ``forward``: shape (slot,) on the visit clock, (row, interval) on the landmark clock.

        Raises:
            ValueError: ``dropout_key`` is None in training mode with a dropout above 0.
        """
        states = torch.cat([embedded, visit_features], dim=1)
        for depth, layer in enumerate(self.lstm):
            if depth:
                states = self.between[depth - 1](states, dropout_key)
            states = _run_layer(layer, states, slices)
        if self.intervals is not None:
            last = slot[visits_per_row.cumsum(0) - 1]
            states, dropout_key = states[last], None if dropout_key is None else dropout_key[last]
        hidden, _, dropout, logit = self.head
        logits = logit(dropout(relu(hidden(states)), dropout_key))
        return logits.squeeze(1) if self.intervals is None else logits

    @torch.no_grad()
    def predict_survival(self, *inputs: Tensor | tuple[tuple[int, int], ...] | None) -> SurvivalCurves:
        """Predict survival and cumulative hazard per step, in evaluation mode and without gradients.

        Args:
            inputs: arguments of ``forward``, in its order.

        Returns:
            Curves on the CPU, of shape (row, step): on the visit clock as many steps as the longest row has visits, on
            the landmark clock one per interval.
        """
        was_training = self.training
        self.eval()
        # On the CPU, because cumsum has no deterministic kernel on CUDA.
        logits = self(*inputs).cpu()
        self.train(was_training)
        if self.intervals is None:
            slot, visits_per_row = inputs[4:6]
            assert isinstance(slot, Tensor)
            assert isinstance(visits_per_row, Tensor)
            logits = _pad_rows(logits[slot.cpu()], visits_per_row.cpu())
        return SurvivalCurves(survival(logits), cumulative_hazard(logits))


def _run_layer(layer: nn.Module, visits: Tensor, slices: tuple[tuple[int, int], ...]) -> Tensor:
    """Run one LSTM layer over the slices in order of time and return the states of all slots, [slot, hidden].

    The rows of a slice are the first rows of the slice before it, so that the state they carry over is a prefix.
    """
    states, carried = [], None
    blocks = visits.split([rows * length for rows, length in slices])
    for block, (rows, length) in zip(blocks, slices, strict=True):
        if carried is not None:
            carried = tuple(state[:, :rows].contiguous() for state in carried)
        output, carried = layer(block.view(length, rows, -1), carried)
        states.append(output.view(rows * length, -1))
    return torch.cat(states) if len(states) > 1 else states[0]


def _pad_rows(values: Float[Tensor, " visit"], visits_per_row: Int64[Tensor, " row"]) -> Float[Tensor, "row step"]:
    """Arrange the values of the visits as one row of the result per row, with NaN after the last visit."""
    is_visit = torch.arange(int(visits_per_row.max())) < visits_per_row[:, None]
    return torch.full(is_visit.shape, torch.nan, dtype=values.dtype).masked_scatter(is_visit, values)
