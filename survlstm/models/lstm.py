"""LSTM over the visits of a health record that gives the logit of a discrete-time hazard for each step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import relu

from survlstm.models.keyed_dropout import KeyedDropout
from survlstm.models.layers import VisitEmbedding, logit_layer
from survlstm.models.protocol import CODE_WEIGHTS, ModelInputs
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

    The clocks of ``survlstm.survival.steps`` differ in the states that get a logit:

    - Visit clock, ``intervals=None``: every visit has one logit. That of visit j is for step j, the time from visit j
      to visit j+1. It depends on visits 0 … j only, because the LSTM reads in one direction.
    - Landmark clock, ``intervals=K``: every row has K logits, one per interval after the landmark, all from the state
      at the last visit of the row. The caller must end the row at the landmark.
    - Days clock, ``intervals=K``: every prediction time has K logits, from the state at its last visit, joined with its
      own numbers. A row has many of them, and is read once.

    Hazards are ``sigmoid(logit)``; ``survlstm.survival.loss`` computes the loss from the logits.

    The layers run on the flat view of the batch (``survlstm.models.protocol.ModelInputs``), which has little padding.
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
        intervals: number K of intervals of the landmark clock or the days clock; None = visit clock.
        mean_hazard: hazards that the model starts near, between 0 and 1, both excluded, such as the mean of the
            training subjects: one value on the visit clock, K values on the other clocks.
        prediction_features: number of numbers of a prediction time, on the days clock.

    Example:
        >>> sizes = {"vocabulary_size": 30, "embedding_dim": 8, "hidden_dim": 16, "num_layers": 1, "dropout": 0.3}
        >>> model = DiscreteTimeSurvivalLSTM(**sizes, visit_features=0, intervals=None, mean_hazard=[0.1]).eval()
        >>> model(batch.inputs).shape == batch.at_risk.shape
        True
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
        prediction_features: int = 0,
    ) -> None:
        super().__init__()
        self.intervals = intervals
        self.state_size = hidden_dim
        self.embedding = VisitEmbedding(vocabulary_size, embedding_dim, visit_features)
        # One module per layer, because nn.LSTM with several layers has no keyed dropout between them.
        self.lstm = nn.ModuleList(
            nn.LSTM(hidden_dim if layer else self.embedding.size, hidden_dim) for layer in range(num_layers)
        )
        self.between = nn.ModuleList(
            KeyedDropout(dropout, units=hidden_dim, index=layer) for layer in range(1, num_layers)
        )
        logit = logit_layer(hidden_dim, mean_hazard)
        self.head = nn.Sequential(
            nn.Linear(hidden_dim + prediction_features, hidden_dim),
            nn.ReLU(),
            KeyedDropout(dropout, units=hidden_dim, index=0),
            logit,
        )

    def forward(self, inputs: ModelInputs) -> Float[Tensor, " slot"] | Float[Tensor, "prediction interval"]:
        """Compute the logits of the hazards of a batch.

        Args:
            inputs: the visits of the batch, with ``dropout_key`` in training mode.

        Returns:
            Logits of the hazards. On the visit clock shape (slot,): the logit of the step that begins at the slot's
            visit; ``logits[inputs.slot]`` has one entry per visit, row after row. On the landmark clock shape (row,
            interval), on the days clock (prediction, interval). The logit of a slot of padding has no meaning: leave it
            out by a mask.

        Raises:
            ValueError: ``inputs.dropout_key`` is None in training mode with a dropout above 0.
        """
        return self.hazard_logits(self.encode(inputs), inputs)

    def encode(self, inputs: ModelInputs) -> Float[Tensor, "slot state"]:
        """Compute the state of the last LSTM layer at each visit, see ``survlstm.models.protocol.VisitEncoder``."""
        states: Tensor = self.embedding(inputs)
        for depth, layer in enumerate(self.lstm):
            if depth:
                states = self.between[depth - 1](states, inputs.dropout_key)
            states = _run_layer(layer, states, inputs.slices)
        return states

    def encoder_weights(self) -> dict[str, nn.Parameter]:
        """Return the parameters that ``encode`` uses, see ``survlstm.models.protocol.VisitEncoder``."""
        named = self.named_parameters()
        return {name: weight for name, weight in named if name == CODE_WEIGHTS or name.startswith("lstm.")}

    def hazard_logits(
        self, states: Float[Tensor, "slot state"], inputs: ModelInputs
    ) -> Float[Tensor, " slot"] | Float[Tensor, "prediction interval"]:
        """Compute the logits from the states, see ``survlstm.models.protocol.VisitEncoder``."""
        dropout_key = inputs.dropout_key
        if self.intervals is not None:
            last = inputs.last_slot
            states = inputs.with_prediction_features(states[last])
            dropout_key = None if dropout_key is None else dropout_key[last]
        hidden, _, dropout, logit = self.head
        logits: Tensor = logit(dropout(relu(hidden(states)), dropout_key))
        return logits.squeeze(1) if self.intervals is None else logits

    @torch.no_grad()
    def predict_survival(self, inputs: ModelInputs) -> SurvivalCurves:
        """Predict survival and cumulative hazard per step, in evaluation mode and without gradients.

        Args:
            inputs: the visits of a batch.

        Returns:
            Curves on the CPU, of shape (row, step): on the visit clock as many steps as the longest row has visits, on
            the landmark clock one per interval, on the days clock one per interval of each prediction time.
        """
        was_training = self.training
        self.eval()
        logits = self(inputs)
        self.train(was_training)
        if self.intervals is None:
            logits = inputs.pad(logits).where(inputs.is_visit, torch.nan)
        # On the CPU, because cumsum has no deterministic kernel on CUDA.
        logits = logits.cpu()
        return SurvivalCurves(survival(logits), cumulative_hazard(logits))


def _run_layer(layer: nn.Module, visits: Tensor, slices: tuple[Any, ...]) -> Tensor:
    """Run one LSTM layer over the slices in order of time and return the states of all slots, [slot, hidden].

    The rows of a slice are the first rows of the slice before it, so that the state they carry over is a prefix.
    """
    states, carried = [], None
    # A single block is not split, so that ONNX does not fix its size.
    blocks = visits.split([rows * length for rows, length in slices]) if len(slices) > 1 else (visits,)
    for block, (rows, length) in zip(blocks, slices, strict=True):
        if carried is not None:
            carried = tuple(state[:, :rows].contiguous() for state in carried)
        output, carried = layer(block.view(length, rows, -1), carried)
        states.append(output.view(rows * length, -1))
    return torch.cat(states) if len(states) > 1 else states[0]
