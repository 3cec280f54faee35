"""Multilayer perceptron on the mean of the visits so far: the simplest model, which knows no order."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from survlstm.models.keyed_dropout import KeyedDropout
from survlstm.models.layers import HazardHead, VisitEmbedding, causal_mask
from survlstm.models.protocol import ModelInputs


class SurvivalMLPBag(nn.Module):
    """Multilayer perceptron on a bag of codes: the present visit, and the mean of the visits so far.

    Args:
        vocabulary_size: Number of embeddings, those of padding (0) and of unknown codes (1) included.
        embedding_dim: Size of the embedding of a code.
        hidden_dim: Size of the hidden layer.
        dropout: Probability that a hidden unit is dropped; at least 0 and below 1.
        visit_features: Number of numbers beside the codes of a visit.
        intervals: Number of intervals of the landmark clock or the days clock; None on the visit clock.
        mean_hazard: Hazards that the model starts near: one value on the visit clock, one per interval on the others.
        prediction_features: Number of numbers of a prediction time, on the days clock.
    """

    def __init__(
        self,
        *,
        vocabulary_size: int,
        embedding_dim: int,
        hidden_dim: int,
        dropout: float,
        visit_features: int,
        intervals: int | None,
        mean_hazard: Sequence[float],
        prediction_features: int = 0,
    ) -> None:
        super().__init__()
        self.embedding = VisitEmbedding(vocabulary_size, embedding_dim, visit_features)
        self.hidden = nn.Linear(2 * self.embedding.size, hidden_dim)
        self.dropout = KeyedDropout(dropout, units=hidden_dim, index=0)
        self.head = HazardHead(
            hidden_dim, intervals=intervals, mean_hazard=mean_hazard, prediction_features=prediction_features
        )

    def forward(self, inputs: ModelInputs) -> Float[Tensor, " slot"] | Float[Tensor, "prediction interval"]:
        """Compute the logits of the hazards, see ``survlstm.models.protocol.SurvivalModel``."""
        visits = inputs.pad(self.embedding(inputs))
        so_far = causal_mask(visits).to(visits.dtype)
        # A product instead of a cumulative sum, which has no deterministic kernel on CUDA.
        bag = (so_far / so_far.sum(dim=1, keepdim=True)) @ visits
        hidden = torch.relu(self.hidden(torch.cat([visits, bag], dim=2)))
        return self.head(self.dropout(hidden, inputs.padded_dropout_key), inputs)
