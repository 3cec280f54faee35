"""GRU over the visits of a health record: the LSTM with a simpler cell, on the padded view."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from survlstm.models.keyed_dropout import KeyedDropout
from survlstm.models.layers import HazardHead, VisitEmbedding
from survlstm.models.protocol import ModelInputs


class SurvivalGRU(nn.Module):
    """GRU over visits (Cho et al. 2014, EMNLP), one-directional, with dropout after every layer.

    Args:
        vocabulary_size: Number of embeddings, those of padding (0) and of unknown codes (1) included.
        embedding_dim: Size of the embedding of a code.
        hidden_dim: Size of a state.
        num_layers: Number of GRU layers, at least 1.
        dropout: Probability that a unit of a state is dropped; at least 0 and below 1.
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
        num_layers: int,
        dropout: float,
        visit_features: int,
        intervals: int | None,
        mean_hazard: Sequence[float],
        prediction_features: int = 0,
    ) -> None:
        super().__init__()
        self.embedding = VisitEmbedding(vocabulary_size, embedding_dim, visit_features)
        self.gru = nn.ModuleList(
            nn.GRU(hidden_dim if layer else self.embedding.size, hidden_dim, batch_first=True)
            for layer in range(num_layers)
        )
        self.dropout = nn.ModuleList(
            KeyedDropout(dropout, units=hidden_dim, index=layer) for layer in range(num_layers)
        )
        self.head = HazardHead(
            hidden_dim, intervals=intervals, mean_hazard=mean_hazard, prediction_features=prediction_features
        )

    def forward(self, inputs: ModelInputs) -> Float[Tensor, " slot"] | Float[Tensor, "prediction interval"]:
        """Compute the logits of the hazards, see ``survlstm.models.protocol.SurvivalModel``."""
        states, dropout_key = inputs.pad(self.embedding(inputs)), inputs.padded_dropout_key
        for layer, dropout in zip(self.gru, self.dropout, strict=True):
            states, _ = layer(states)
            states = dropout(states, dropout_key)
        return self.head(states, inputs)
