"""Build the model from a validated config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from survlstm.config.instantiate import instantiate
from survlstm.config.schema.training import LSTMConfig
from survlstm.models.lstm import DiscreteTimeSurvivalLSTM
from survlstm.models.weights import check_weights

# The hazard that a model starts at before its weights are loaded; any value would do.
PLACEHOLDER_HAZARD = 0.5


def build_model(
    config: LSTMConfig, *, vocabulary_size: int, intervals: int | None, mean_hazard: Sequence[float]
) -> DiscreteTimeSurvivalLSTM:
    """The model, sized by what the data turned out to be; ``intervals`` is None on the visit clock."""
    return instantiate(
        config,
        vocabulary_size=vocabulary_size,
        visit_features=len(config.visit_features),
        intervals=intervals,
        mean_hazard=mean_hazard,
    )


def build_model_with_weights(
    config: LSTMConfig, *, vocabulary_size: int, intervals: int | None, weights: Mapping[str, torch.Tensor]
) -> DiscreteTimeSurvivalLSTM:
    """The model of a file, with the file's weights, in evaluation mode and on the host.

    ValueError where the weights are not those of the config's model. Their sizes are compared before any is made: a
    config of a few bytes can ask for more memory than there is.
    """
    sizes = config.settings()
    del sizes["_target_"], sizes["dropout"], sizes["visit_features"]
    sizes |= {"vocabulary_size": vocabulary_size, "intervals": intervals}
    shapes = DiscreteTimeSurvivalLSTM.weight_shapes(visit_features=len(config.visit_features), **sizes)
    check_weights(shapes, weights)
    model = build_model(
        config,
        vocabulary_size=vocabulary_size,
        intervals=intervals,
        mean_hazard=[PLACEHOLDER_HAZARD] * (intervals or 1),
    )
    model.load_state_dict(weights)
    return model.eval()
