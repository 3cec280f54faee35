"""Build the model that a validated config describes, with new weights or with those of a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from survlstm.config.instantiate import instantiate
from survlstm.config.schema.foreign import ForeignModelConfig
from survlstm.config.schema.run import ModelConfig
from survlstm.models.layers import VisitEmbedding
from survlstm.models.weights import check_weights
from survlstm.utils.errors import ConfigError

# Hazard of a new model whose weights are about to be replaced; any value between 0 and 1 gives the same result.
PLACEHOLDER_HAZARD = 0.5


def build_model(
    config: ModelConfig,
    *,
    vocabulary_size: int,
    fused_codes: Sequence[int],
    value_columns: int,
    intervals: int | None,
    mean_hazard: Sequence[float],
) -> nn.Module:
    """Build a model with new weights, in the sizes that the data require.

    Args:
        config: the settings of the model.
        vocabulary_size: number of embeddings, those of padding and of unknown codes included.
        fused_codes: numbers in the vocabulary of the codes that say in which bin a value lies.
        value_columns: number of columns of values, which the model reads after the features of ``config``.
        intervals: number of intervals of the landmark clock; None on the visit clock.
        mean_hazard: mean hazard of the training subjects, between 0 and 1: one value on the visit clock, one per
            interval on the landmark clock.

    Returns:
        The model in training mode, on the CPU.

    Raises:
        ClosedClassError: Only a stored file names the class of the model.
        ConfigError: A class of the user's own can't be imported or made, or is no ``torch.nn.Module``.
    """
    model = instantiate(
        config,
        vocabulary_size=vocabulary_size,
        visit_features=len(config.visit_features) + value_columns,
        intervals=intervals,
        mean_hazard=mean_hazard,
    )
    if not isinstance(model, nn.Module):
        raise ConfigError(f"model must be a torch.nn.Module; {config.target} made a {type(model).__name__}")
    for layer in model.modules():
        if isinstance(layer, VisitEmbedding):
            layer.set_fused(fused_codes)
    return model


def build_model_with_weights(
    config: ModelConfig,
    *,
    vocabulary_size: int,
    fused_codes: Sequence[int],
    value_columns: int,
    intervals: int | None,
    weights: Any,
) -> nn.Module:
    """Build the model of a file with the weights of the file.

    The shapes are compared before any memory is reserved, because a config of a few bytes can describe a model larger
    than the memory of the machine.

    Args:
        config: the settings of the model, as stored in the file.
        vocabulary_size: number of embeddings, those of padding and of unknown codes included.
        fused_codes: see ``build_model``.
        value_columns: number of columns of values, see ``build_model``.
        intervals: number of intervals of the landmark clock; None on the visit clock.
        weights: what the file holds, of any type; valid are tensors by their name in the model's ``state_dict``.

    Returns:
        The model in evaluation mode, on the CPU.

    Raises:
        ValueError: the weights have other names, shapes or dtypes than the model's, or are not finite.
    """

    def build() -> nn.Module:
        return build_model(
            config,
            vocabulary_size=vocabulary_size,
            fused_codes=fused_codes,
            value_columns=value_columns,
            intervals=intervals,
            mean_hazard=[PLACEHOLDER_HAZARD] * (intervals or 1),
        )

    try:
        with torch.device("meta"):
            sizes = build().state_dict()
    except ConfigError:
        if not isinstance(config, ForeignModelConfig):
            raise
        # The constructor of a class of the user's own may need values, which tensors on the meta device do not have.
        sizes = build().state_dict()
    check_weights(sizes, weights)
    model = build()
    model.load_state_dict(weights)
    return model.eval()
