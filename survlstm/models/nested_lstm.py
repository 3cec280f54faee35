"""LSTM that is nested with a regression: a linear part on the history, and what an LSTM adds to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from survlstm.models.code_counts import CountedEmbedding
from survlstm.models.keyed_dropout import kept_entries
from survlstm.models.layers import log_odds_of
from survlstm.models.lstm import DiscreteTimeSurvivalLSTM
from survlstm.models.protocol import LinearPart, ModelInputs

# Scale of new embeddings: a tenth of the standard normal numbers of torch. With larger ones, codes that occur in a few
# records are fitted in the first epochs.
EMBEDDING_SCALE = 0.1


class NestedSurvivalLSTM(DiscreteTimeSurvivalLSTM):
    """Sum of a linear part and an LSTM, in log-odds of the hazard.

    The linear part is a regression on what a baseline sees (``survlstm.models.protocol.LinearPart``): the numbers of
    the visit, and log(1 + count) of every code in the visit and in the record so far. Training starts it at the ridge
    regression that is also the strongest linear baseline. The LSTM part reads the counts of the visit as a sum of
    embeddings (``survlstm.models.code_counts.CountedEmbedding``). Its last layer starts at 0, so that before the first
    epoch the model is that regression, and an epoch is only kept if it is clearly better on the validation subjects.

    Args:
        vocabulary_size: Number of embeddings, those of padding (0) and of unknown codes (1) included.
        embedding_dim: Size of an embedding.
        hidden_dim: Size of a state.
        num_layers: Number of LSTM layers, at least 1.
        dropout: Probability that a unit is dropped between layers and in the head; at least 0 and below 1.
        code_dropout: Probability that a code of a visit is left out of the LSTM part in training; at least 0 and below
            1. The linear part reads all codes.
        linear_lr: Learning rate of the linear part, in place of the optimizer's.
        linear_weight_decay: Weight decay of the linear part, in place of the optimizer's.
        grad_clip: Largest norm of the gradients of the LSTM part, in place of the trainer's; None does not clip. The
            linear part is not clipped.
        visit_features: Number of numbers beside the codes of a visit.
        intervals: Number of intervals of the landmark clock or the days clock; None on the visit clock.
        mean_hazard: Hazards of a linear part that is not yet fitted: one value on the visit clock, one per interval on
            the others.
        prediction_features: Number of numbers of a prediction time, on the days clock.

    Attributes:
        bias: Log-odds of the linear part without covariates; shape (1,) or (interval,).
        visit_effect: Coefficient of each number of a visit; shape (feature,).
        prediction_effect: Coefficient of each number of a prediction time; shape (prediction_feature,). None on the
            other clocks.
    """

    embedding: CountedEmbedding

    def __init__(
        self,
        *,
        vocabulary_size: int,
        embedding_dim: int,
        hidden_dim: int,
        num_layers: int,
        dropout: float,
        code_dropout: float = 0.0,
        linear_lr: float,
        linear_weight_decay: float,
        grad_clip: float | None,
        visit_features: int,
        intervals: int | None,
        mean_hazard: Sequence[float],
        prediction_features: int = 0,
    ) -> None:
        super().__init__(
            vocabulary_size=vocabulary_size,
            embedding_dim=embedding_dim,
            hidden_dim=hidden_dim,
            num_layers=num_layers,
            dropout=dropout,
            visit_features=visit_features,
            intervals=intervals,
            mean_hazard=mean_hazard,
            prediction_features=prediction_features,
        )
        self.code_dropout = code_dropout
        self.linear_lr, self.linear_weight_decay, self.grad_clip = linear_lr, linear_weight_decay, grad_clip
        self.embedding = CountedEmbedding(vocabulary_size, embedding_dim, visit_features)
        self.bias = nn.Parameter(log_odds_of(mean_hazard))
        self.visit_effect = nn.Parameter(torch.zeros(visit_features))
        # An empty parameter is in no file of weights and in no optimizer's state.
        self.prediction_effect = nn.Parameter(torch.zeros(prediction_features)) if prediction_features else None
        with torch.no_grad():
            self.embedding.weight.mul_(EMBEDDING_SCALE)
            for parameter in self.head[-1].parameters():
                parameter.zero_()

    def encode(self, inputs: ModelInputs) -> Float[Tensor, "slot state"]:
        """Compute the states of the LSTM part, see ``survlstm.models.protocol.VisitEncoder``."""
        return super().encode(self._without_some_codes(inputs))

    def hazard_logits(
        self, states: Float[Tensor, "slot state"], inputs: ModelInputs
    ) -> Float[Tensor, " slot"] | Float[Tensor, "prediction interval"]:
        """Compute the sum of both parts, see ``survlstm.models.protocol.VisitEncoder``."""
        return self.linear_logits(inputs) + super().hazard_logits(states, inputs)

    def _without_some_codes(self, inputs: ModelInputs) -> ModelInputs:
        if not self.training or self.code_dropout == 0.0:
            return inputs
        if inputs.dropout_key is None:
            raise ValueError("code_dropout must have the key of every visit in training mode; found none. Call eval()")
        kept = kept_entries(inputs.codes, inputs.dropout_key[inputs.code_slot], self.code_dropout)
        # Padding is left out of the sum of a visit.
        return inputs.replace(codes=inputs.codes.where(kept, 0))

    def linear_logits(self, inputs: ModelInputs) -> Float[Tensor, " slot"] | Float[Tensor, "prediction interval"]:
        """Compute the logits of the linear part, see ``survlstm.models.protocol.LinearStart``."""
        # Under autocast the products would be in bfloat16, whose three digits are too few for a sum of many counts.
        with torch.autocast(inputs.visit_features.device.type, enabled=False):
            return self._linear_logits(inputs)

    def _linear_logits(self, inputs: ModelInputs) -> Float[Tensor, " slot"] | Float[Tensor, "prediction interval"]:
        score = inputs.visit_features @ self.visit_effect + self.embedding.count_effect(inputs)
        if self.intervals is None:
            return score + self.bias
        score = score[inputs.last_slot]
        if self.prediction_effect is not None and inputs.prediction_features is not None:
            score = score + inputs.prediction_features @ self.prediction_effect
        return score[:, None] + self.bias

    @torch.no_grad()
    def set_linear_part(self, part: LinearPart) -> None:
        """Set the linear part, see ``survlstm.models.protocol.LinearStart``."""
        for parameter, values in zip(self._linear_parameters, part, strict=True):
            if parameter is not None:
                parameter.copy_(values)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the LSTM part, and the linear part with its own learning rate and weight decay."""
        linear = [parameter for parameter in self._linear_parameters if parameter is not None]
        of_linear = {id(parameter) for parameter in linear}
        others = [parameter for parameter in self.parameters() if id(parameter) not in of_linear]
        return [{"params": others}, {"params": linear, "lr": self.linear_lr, "weight_decay": self.linear_weight_decay}]

    @property
    def _linear_parameters(self) -> list[nn.Parameter | None]:
        """The parameters of the linear part, in the order of ``LinearPart``."""
        embedding = self.embedding
        return [
            self.bias,
            self.visit_effect,
            self.prediction_effect,
            embedding.visit_count,
            embedding.record_count,
        ]
