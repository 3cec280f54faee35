"""RETAIN: a prediction that is a weighted sum of the visits so far, with two attentions as weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from survlstm.models.keyed_dropout import KeyedDropout
from survlstm.models.layers import HazardHead, VisitEmbedding, causal_mask
from survlstm.models.protocol import ModelInputs


class SurvivalRetain(nn.Module):
    """RETAIN (Choi et al. 2016, NeurIPS) with a prediction after every visit.

    With ``v_j`` the embedded visit j, ``g`` and ``h`` the states of two GRUs over the visits::

        a_j   = w·g_j + b                                      attention of a visit, a number
        β_j   = tanh(W h_j + b)                                attention of its values, a vector
        c_i   = Σ_{j≤i} softmax_{j≤i}(a_j) β_j ⊙ v_j           context after visit i
        logit = Linear(c_i)

    The paper runs the GRUs backwards from visit i, anew for every i. Here they run forwards, once for all visits, so
    that the attention of visit j depends on visits 0 … j. Both see nothing after visit i.

    Args:
        vocabulary_size: Number of embeddings, those of padding (0) and of unknown codes (1) included.
        embedding_dim: Size of the embedding of a code.
        hidden_dim: Size of a state.
        dropout: Probability that a value of the context is dropped; at least 0 and below 1.
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
        size = self.embedding.size
        self.visit_gru = nn.GRU(size, hidden_dim, batch_first=True)
        self.value_gru = nn.GRU(size, hidden_dim, batch_first=True)
        self.visit_attention = nn.Linear(hidden_dim, 1)
        self.value_attention = nn.Linear(hidden_dim, size)
        self.dropout = KeyedDropout(dropout, units=size, index=0)
        self.head = HazardHead(
            size, intervals=intervals, mean_hazard=mean_hazard, prediction_features=prediction_features
        )

    def forward(self, inputs: ModelInputs) -> Float[Tensor, " slot"] | Float[Tensor, "prediction interval"]:
        """Compute the logits of the hazards, see ``survlstm.models.protocol.SurvivalModel``."""
        visits = inputs.pad(self.embedding(inputs))
        states, _ = self.visit_gru(visits)
        score = self.visit_attention(states).transpose(1, 2)
        weight = torch.softmax(score.masked_fill(~causal_mask(visits), -torch.inf), dim=2)
        states, _ = self.value_gru(visits)
        context = weight @ (torch.tanh(self.value_attention(states)) * visits)
        return self.head(self.dropout(context, inputs.padded_dropout_key), inputs)
