"""A model of one's own: a GRU over the visits."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from survlstm.models.layers import HazardHead, VisitEmbedding
from survlstm.models.protocol import ModelInputs


class OwnGRU(nn.Module):
    """GRU over the visits, see ``survlstm.models.protocol.SurvivalModel``."""

    def __init__(
        self,
        *,
        vocabulary_size: int,
        visit_features: int,
        intervals: int | None,
        mean_hazard: Sequence[float],
        prediction_features: int = 0,
        hidden_dim: int = 64,
    ) -> None:
        super().__init__()
        self.embedding = VisitEmbedding(vocabulary_size, hidden_dim, visit_features)
        self.gru = nn.GRU(self.embedding.size, hidden_dim, batch_first=True)
        self.head = HazardHead(
            hidden_dim, intervals=intervals, mean_hazard=mean_hazard, prediction_features=prediction_features
        )

    def forward(self, inputs: ModelInputs) -> Tensor:
        states, _ = self.gru(inputs.pad(self.embedding(inputs)))
        logits: Tensor = self.head(states, inputs)
        return logits
