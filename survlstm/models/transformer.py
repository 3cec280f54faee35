"""Transformer over the visits of a health record, with causal attention and an encoding of the time of a visit."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from survlstm.models.keyed_dropout import KeyedDropout
from survlstm.models.layers import HazardHead, VisitEmbedding
from survlstm.models.protocol import ModelInputs

# Shortest and longest wavelength of the time encoding, in days: two days, and two centuries.
WAVELENGTHS = (2.0, 73_050.0)


class SurvivalTransformer(nn.Module):
    """Transformer (Vaswani et al. 2017, NeurIPS) whose attention reaches a visit and those before it.

    The position of a visit is not its number but its time: sines and cosines of the days since the first visit, with
    wavelengths from two days to two centuries, are added to the embedded visit. Layers normalise before they attend
    (Xiong et al. 2020, ICML), so that training needs no warm-up of the learning rate.

    Args:
        vocabulary_size: Number of embeddings, those of padding (0) and of unknown codes (1) included.
        embedding_dim: Size of the embedding of a code.
        hidden_dim: Size of a state.
        num_layers: Number of attention layers, at least 1.
        num_heads: Number of attention heads; ``hidden_dim`` is an even multiple of it.
        dropout: Probability that a unit is dropped after each attention and each perceptron; at least 0 and below 1.
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
        num_heads: int,
        dropout: float,
        visit_features: int,
        intervals: int | None,
        mean_hazard: Sequence[float],
        prediction_features: int = 0,
    ) -> None:
        super().__init__()
        self.embedding = VisitEmbedding(vocabulary_size, embedding_dim, visit_features)
        self.state = nn.Linear(self.embedding.size, hidden_dim)
        self.time = TimeEncoding(hidden_dim)
        self.layers = nn.ModuleList(
            AttentionLayer(hidden_dim, num_heads=num_heads, dropout=dropout, index=layer) for layer in range(num_layers)
        )
        self.norm = nn.LayerNorm(hidden_dim)
        self.head = HazardHead(
            hidden_dim, intervals=intervals, mean_hazard=mean_hazard, prediction_features=prediction_features
        )

    def forward(self, inputs: ModelInputs) -> Float[Tensor, " slot"] | Float[Tensor, "prediction interval"]:
        """Compute the logits of the hazards, see ``survlstm.models.protocol.SurvivalModel``."""
        states = self.state(inputs.pad(self.embedding(inputs))) + self.time(inputs.pad(inputs.visit_days))
        for layer in self.layers:
            states = layer(states, inputs)
        return self.head(self.norm(states), inputs)


class TimeEncoding(nn.Module):
    """Sines and cosines of a time in days, at wavelengths that form a geometric series.

    Args:
        size: Number of values of the encoding, even.
    """

    frequency: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        shortest, longest = WAVELENGTHS
        wavelength = torch.logspace(math.log10(shortest), math.log10(longest), size // 2)
        self.register_buffer("frequency", 2 * math.pi / wavelength, persistent=False)

    def forward(self, days: Float[Tensor, "row visit"]) -> Float[Tensor, "row visit unit"]:
        """Encode times.

        Args:
            days: Days since the first visit; shape (row, visit).

        Returns:
            The encoding; shape (row, visit, size).
        """
        phase = days[..., None] * self.frequency
        return torch.cat([phase.sin(), phase.cos()], dim=2)


class AttentionLayer(nn.Module):
    """Causal multi-head attention and a perceptron, each with a residual connection.

    Args:
        states: Size of a state.
        num_heads: Number of heads; it divides ``states``.
        dropout: Probability that a unit of either part is dropped.
        index: Number of the layer in the model.
    """

    def __init__(self, states: int, *, num_heads: int, dropout: float, index: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.attention_norm, self.perceptron_norm = nn.LayerNorm(states), nn.LayerNorm(states)
        self.projections = nn.Linear(states, 3 * states)
        self.attended = nn.Linear(states, states)
        self.perceptron = nn.Sequential(nn.Linear(states, 2 * states), nn.GELU(), nn.Linear(2 * states, states))
        self.dropout = nn.ModuleList(
            KeyedDropout(dropout, units=states, index=number) for number in (2 * index, 2 * index + 1)
        )

    def forward(
        self, states: Float[Tensor, "row visit state"], inputs: ModelInputs
    ) -> Float[Tensor, "row visit state"]:
        """Attend to each visit and those before it.

        Args:
            states: States of the visits; shape (row, visit, state).
            inputs: The inputs of the model, for the keys of the dropout.

        Returns:
            States of the same shape. Visits behind the end of a row come last, so that no visit attends to them.
        """
        key = inputs.padded_dropout_key
        attention_dropout, perceptron_dropout = self.dropout
        query, keys, values = (
            part.unflatten(2, (self.num_heads, -1)).transpose(1, 2)
            for part in self.projections(self.attention_norm(states)).chunk(3, dim=2)
        )
        attended = nn.functional.scaled_dot_product_attention(query, keys, values, is_causal=True)
        states = states + attention_dropout(self.attended(attended.transpose(1, 2).flatten(2)), key)
        result: Tensor = states + perceptron_dropout(self.perceptron(self.perceptron_norm(states)), key)
        return result
