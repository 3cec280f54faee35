"""Build the model that a validated config describes, with new weights or with those of a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from survlstm.config.instantiate import instantiate
from survlstm.config.schema.foreign import ForeignModelConfig
from survlstm.config.schema.model import VisitModelConfig
from survlstm.config.schema.run import ModelConfig
from survlstm.models.ensemble import join_members
from survlstm.models.layers import VisitEmbedding
from survlstm.models.protocol import DAYS_ARGUMENT, ModelSizes
from survlstm.models.weights import check_weights
from survlstm.utils.errors import ConfigError

# Hazard of a new model whose weights are about to be replaced; any value between 0 and 1 gives the same result.
PLACEHOLDER_HAZARD = 0.5


def build_model(config: ModelConfig, sizes: ModelSizes, *, mean_hazard: Sequence[float]) -> nn.Module:
    """Build a model with new weights, in the sizes that the data require.

    Args:
        config: the settings of the model.
        sizes: the sizes, see ``PreprocessingState.sizes``.
        mean_hazard: mean hazard of the training subjects, between 0 and 1: one value on the visit clock, one per
            interval on the other clocks.

    Returns:
        The model in training mode, on the CPU; with ``ensemble`` above 1 a ``SurvivalEnsemble``, whose first member
        has the weights that a single model would have.

    Raises:
        ClosedClassError: Only a stored file names the class of the model.
        ConfigError: A class of the user's own can't be imported or made, or is no ``torch.nn.Module``.
    """
    members = config.ensemble if isinstance(config, VisitModelConfig) else 1
    models = [_build_one(config, sizes, mean_hazard) for _ in range(members)]
    return models[0] if members == 1 else join_members(models)


def _build_one(config: ModelConfig, sizes: ModelSizes, mean_hazard: Sequence[float]) -> nn.Module:
    of_times = {DAYS_ARGUMENT: sizes.prediction_features} if sizes.prediction_features else {}
    model = instantiate(
        config,
        vocabulary_size=sizes.vocabulary_size,
        visit_features=len(config.visit_features) + sizes.added_columns,
        intervals=sizes.intervals,
        mean_hazard=mean_hazard,
        **of_times,
    )
    if not isinstance(model, nn.Module):
        raise ConfigError(f"model must be a torch.nn.Module; {config.target} made a {type(model).__name__}")
    for layer in model.modules():
        if isinstance(layer, VisitEmbedding):
            layer.set_fused(sizes.fused_codes)
    return model


def build_model_with_weights(config: ModelConfig, sizes: ModelSizes, *, weights: Any) -> nn.Module:
    """Build the model of a file with the weights of the file.

    The shapes are compared before any memory is reserved, because a config of a few bytes can describe a model larger
    than the memory of the machine.

    Args:
        config: the settings of the model, as stored in the file.
        sizes: see ``build_model``.
        weights: what the file holds, of any type; valid are tensors by their name in the model's ``state_dict``.

    Returns:
        The model in evaluation mode, on the CPU.

    Raises:
        ValueError: the weights have other names, shapes or dtypes than the model's, or are not finite.
    """

    def build() -> nn.Module:
        return build_model(config, sizes, mean_hazard=[PLACEHOLDER_HAZARD] * (sizes.intervals or 1))

    try:
        with torch.device("meta"):
            shapes = build().state_dict()
    except ConfigError:
        if not isinstance(config, ForeignModelConfig):
            raise
        # The constructor of a class of the user's own may need values, which tensors on the meta device do not have.
        shapes = build().state_dict()
    check_weights(shapes, weights)
    model = build()
    model.load_state_dict(weights)
    return model.eval()
