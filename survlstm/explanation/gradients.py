"""A model and a subject's record → what each entry adds to the log-odds, by integrated gradients over embeddings."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from survlstm.data.split import Split
from survlstm.data.tensors import Tensors
from survlstm.explanation.model_inputs import ModelInput, log_odds, visit_means
from survlstm.models.lstm import DiscreteTimeSurvivalLSTM
from survlstm.utils.errors import ConfigError

# Visits computed at once, with what their gradients need: half a gigabyte for the largest of the models in conf.
MOST_VISITS = 2**13


class CodeAttribution(NamedTuple):
    """The attribution of every entry of a record, and the two log-odds that their sum lies between.

    Exactly integrated, the attributions add up to ``log_odds`` - ``baseline_log_odds`` (completeness: Sundararajan,
    Taly & Yan 2017); ``delta`` is their sum minus that difference.
    """

    attribution: Float[np.ndarray, " entry"]
    log_odds: float
    baseline_log_odds: float

    @property
    def delta(self) -> float:
        """The error of the integration."""
        return float(self.attribution.sum()) - (self.log_odds - self.baseline_log_odds)


def average_embedding(model: DiscreteTimeSurvivalLSTM, tensors: Tensors) -> Float[Tensor, " embedding"]:
    """The mean embedding of the training subjects' entries: a code about which nothing is known."""
    of_training = np.repeat(tensors.split == Split.TRAIN, tensors.visits_per_subject)
    codes = tensors.code[np.repeat(of_training, np.diff(tensors.code_offsets))]
    weight = model.embedding.weight.detach()
    times = np.bincount(codes, minlength=len(weight))
    return (torch.from_numpy(times / times.sum()) @ weight.double()).to(weight.dtype)


def integrated_gradients(
    model: DiscreteTimeSurvivalLSTM, record: ModelInput, *, baseline: Float[Tensor, " embedding"], steps: int
) -> CodeAttribution:
    """Integrated gradients from a record whose codes all are ``baseline`` to the record; the features stay as they are.

    A visit being the mean of its entries, the gradient of an entry is that of its visit divided by the visit's entries,
    everywhere on the path. So captum integrates over visits, which are fewer, and the entries follow without error.
    ConfigError where captum is missing.
    """
    model.eval()
    embedded = model.embedding.weight.detach()[record.code]
    means = visit_means(embedded, record)
    start = baseline.expand_as(means)
    gradient = _integrated_gradients()(lambda variants: log_odds(model, variants, record.features), False).attribute(
        means[None], baselines=start[None], n_steps=steps, internal_batch_size=max(1, MOST_VISITS // record.visits)
    )
    per_visit = torch.bincount(record.visit, minlength=record.visits)
    share = gradient[0][record.visit] / per_visit[record.visit][:, None]
    with torch.no_grad():
        ends = log_odds(model, torch.stack([means, start]), record.features)
    return CodeAttribution(((embedded - baseline) * share).double().sum(dim=1).numpy(), float(ends[0]), float(ends[1]))


def refuse_missing_captum() -> None:
    """ConfigError where the extra is not installed: better before the data are read than after."""
    _integrated_gradients()


def _integrated_gradients() -> type:
    try:
        from captum.attr import IntegratedGradients
    except ImportError as error:
        raise ConfigError("survlstm explain needs captum: pip install 'survlstm[explain]'") from error
    return IntegratedGradients
