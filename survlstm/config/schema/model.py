"""Schemas of the models that survlstm ships."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from survlstm.config.schema.section import Feature, Size, SwapPoint, Weight, each_feature_once

Layers = Annotated[int, Field(gt=0, le=64)]
Dropout = Annotated[float, Field(ge=0, lt=1)]
Members = Annotated[int, Field(gt=0, le=64)]


class VisitModelConfig(SwapPoint):
    """The settings that all shipped models have.

    Attributes:
        target: The class of the model.
        embedding_dim: The size of a code's embedding.
        hidden_dim: The size of the hidden state.
        dropout: The dropout probability.
        visit_features: The numeric features of a visit beside its codes.
        ensemble: The number of models with different initial weights that are trained at once and averaged.
    """

    target: str = Field(alias="_target_")
    embedding_dim: Size
    hidden_dim: Size
    dropout: Dropout
    visit_features: Annotated[list[Feature], AfterValidator(each_feature_once)]
    ensemble: Members = 1

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of the class, to which ``ensemble`` does not belong."""
        return {name: value for name, value in super().arguments().items() if name != "ensemble"}


class LSTMConfig(VisitModelConfig):
    """The LSTM over visits.

    Attributes:
        target: The class of the model.
        num_layers: The number of LSTM layers.
    """

    target: Literal["survlstm.models.lstm.DiscreteTimeSurvivalLSTM"] = Field(alias="_target_")
    num_layers: Layers


class NestedLSTMConfig(LSTMConfig):
    """The sum of a regression on the history and an LSTM over visits.

    Attributes:
        target: The class of the model.
        linear_lr: The learning rate of the regression, in place of the optimizer's; 0 keeps it as it was fitted.
        linear_weight_decay: The weight decay of the regression, in place of the optimizer's.
        grad_clip: The largest norm of the gradients of the LSTM, in place of the trainer's; None does not clip.
        code_dropout: The probability that a code of a visit is left out of the LSTM in training.
    """

    target: Literal["survlstm.models.nested_lstm.NestedSurvivalLSTM"] = Field(alias="_target_")  # type: ignore[assignment]
    linear_lr: Weight
    linear_weight_decay: Weight
    grad_clip: Annotated[float, Field(gt=0)] | None
    code_dropout: Dropout = 0.0


class GRUConfig(VisitModelConfig):
    """The GRU over visits.

    Attributes:
        target: The class of the model.
        num_layers: The number of GRU layers.
    """

    target: Literal["survlstm.models.gru.SurvivalGRU"] = Field(alias="_target_")
    num_layers: Layers


class TransformerConfig(VisitModelConfig):
    """The Transformer with causal attention over visits and an encoding of their days.

    Attributes:
        target: The class of the model.
        num_layers: The number of attention layers.
        num_heads: The number of attention heads; it divides ``hidden_dim``.
    """

    target: Literal["survlstm.models.transformer.SurvivalTransformer"] = Field(alias="_target_")
    num_layers: Layers
    num_heads: Annotated[int, Field(gt=0, le=1024)]

    @model_validator(mode="after")
    def _heads_divide_the_state(self) -> TransformerConfig:
        if self.hidden_dim % (2 * self.num_heads):
            raise ValueError(
                "model.hidden_dim must be an even multiple of model.num_heads, so that all heads have the same even "
                f"size; found {self.hidden_dim} and {self.num_heads}"
            )
        return self


class RetainConfig(VisitModelConfig):
    """RETAIN: two attentions over the visits so far.

    Attributes:
        target: The class of the model.
    """

    target: Literal["survlstm.models.retain.SurvivalRetain"] = Field(alias="_target_")


class MLPBagConfig(VisitModelConfig):
    """A multilayer perceptron on the mean of the visits so far.

    Attributes:
        target: The class of the model.
    """

    target: Literal["survlstm.models.mlp_bag.SurvivalMLPBag"] = Field(alias="_target_")
