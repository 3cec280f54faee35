"""Start the linear part of a model at a regression on the training subjects."""

from __future__ import annotations

import logging

import numpy as np
import torch
from torch import Tensor

from survlstm.data.batches import Batches
from survlstm.models.protocol import LinearPart, LinearStart
from survlstm.training.distributed import SINGLE_PROCESS, ProcessGroup
from survlstm.training.regression.history_regression import HistoryRegression, shared_history_regression

log = logging.getLogger(__name__)
CHOSEN = {
    "none": "no codes",
    "visit": "the codes of the visit",
    "record": "the codes of the record so far",
    "both": "the codes of the visit and of the record so far",
}


def start_linear_part(
    model: LinearStart, train: Batches, *, vocabulary_size: int, process_group: ProcessGroup = SINGLE_PROCESS
) -> None:
    """Fit the regression to the training subjects and set the linear part of the model to it.

    Penalties and covariates are chosen by the likelihood of the validation subjects. With several processes rank 0
    fits, so that all of them start from the same numbers. The regression counts the codes of whole records; with
    ``data.max_visits`` the model counts those of its window, and starts near the regression only.

    Args:
        model: A model with a linear part.
        train: The training subjects, with the features that the model reads.
        vocabulary_size: Number of codes that the model knows.
        process_group: The processes that train the model together; all of them call this function.
    """
    fitted = shared_history_regression(train.tensors, train.features) if process_group.is_main else None
    regression = process_group.broadcast(fitted)
    model.set_linear_part(_as_part(regression, vocabulary_size))
    log.info(
        "Linear part: numbers and %s, with %s; validation loss %.5f per step",
        CHOSEN[regression.codes],
        ", ".join(f"prior variance {value:g} of the {block}" for block, value in regression.strengths.items()),
        regression.val_loss,
    )


def _as_part(regression: HistoryRegression, vocabulary_size: int) -> LinearPart:
    def of_vocabulary(values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.pad(values, (0, vocabulary_size - len(values)))).float()

    return LinearPart(
        bias=torch.from_numpy(regression.bias).float(),
        visit_features=torch.from_numpy(regression.visit_features).float(),
        prediction_features=torch.from_numpy(regression.prediction_features).float(),
        visit_codes=of_vocabulary(regression.visit_codes),
        record_codes=of_vocabulary(regression.record_codes),
    )
