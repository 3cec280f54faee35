"""Integrated gradients of a subject's log-odds with respect to the embeddings of its codes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from survlstm.data.split import Split
from survlstm.data.tensors import Tensors
from survlstm.explanation.model_inputs import ModelInput, entry_weights, log_odds, visit_embeddings
from survlstm.models.layers import embedding_of
from survlstm.utils.errors import ConfigError

# Visits computed at once, with what their gradients need: half a gigabyte for the largest of the models in conf.
MOST_VISITS = 2**13


class CodeAttribution(NamedTuple):
    """Attribution of a prediction to the entries of a record, in log-odds of the event.

    If the integration is exact, the attributions add up to ``log_odds - baseline_log_odds`` (completeness; Sundararajan
    et al. 2017, ICML).

    Attributes:
        attribution: attribution of each entry of the record; shape (entry,).
        log_odds: log-odds of the record.
        baseline_log_odds: log-odds of the record with the baseline embedding at every entry.
    """

    attribution: Float[np.ndarray, " entry"]
    log_odds: float
    baseline_log_odds: float

    @property
    def delta(self) -> float:
        """Error of the integration: the sum of the attributions minus the difference that they should add up to."""
        return float(self.attribution.sum()) - (self.log_odds - self.baseline_log_odds)


def average_embedding(model: nn.Module, tensors: Tensors) -> Float[Tensor, " embedding"]:
    """Compute the mean embedding over all entries of the training subjects.

    It is the baseline of the integrated gradients and stands for a code about which nothing is known.

    Args:
        model: the model whose embedding is averaged.
        tensors: all subjects of the run; only those of the training split are used.

    Returns:
        The mean in the dtype of the embedding, computed in double precision.
    """
    is_training_visit = np.repeat(tensors.split == Split.TRAIN, tensors.visits_per_subject)
    codes = tensors.code[np.repeat(is_training_visit, np.diff(tensors.code_offsets))]
    weight = embedding_of(model).rows.detach()
    counts = np.bincount(codes, minlength=len(weight))
    return (torch.from_numpy(counts / counts.sum()) @ weight.double()).to(weight.dtype)


def integrated_gradients(
    model: nn.Module, record: ModelInput, *, baseline: Float[Tensor, " embedding"], steps: int
) -> CodeAttribution:
    """Compute integrated gradients on the path from a record of baseline codes to the record itself.

    The visit features are the same along the whole path. A visit is a weighted sum of its entries, so that everywhere
    on the path the gradient of an entry is its weight times the gradient of its visit. Captum therefore integrates over
    visits, which are fewer than entries, and the attributions of the entries follow without an additional error.

    Source: Sundararajan et al. 2017, Axiomatic Attribution for Deep Networks, ICML.

    Args:
        model: the model to explain, on the host. It is set to evaluation mode.
        record: the visits that the model reads.
        baseline: embedding of the baseline code, see ``average_embedding``.
        steps: number of points on the path.

    Returns:
        The attribution of each entry, and the log-odds at both ends of the path.

    Raises:
        ConfigError: captum is not installed.
    """
    model.eval()
    embedded = embedding_of(model).rows.detach()[record.code]
    means = visit_embeddings(embedded, record, model)
    start = visit_embeddings(baseline.expand_as(embedded), record, model)
    gradient = _integrated_gradients()(lambda variants: log_odds(model, variants, record), False).attribute(
        means[None], baselines=start[None], n_steps=steps, internal_batch_size=max(1, MOST_VISITS // record.visits)
    )
    # The second argument, multiply_by_inputs=False, makes captum return the mean gradient on the path alone. Each entry
    # multiplies it by its own difference from the baseline, not by that of its visit.
    entry_gradient = gradient[0][record.visit] * entry_weights(record, model)
    with torch.no_grad():
        ends = log_odds(model, torch.stack([means, start]), record)
    attribution = ((embedded - baseline) * entry_gradient).double().sum(dim=1)
    return CodeAttribution(attribution.numpy(), float(ends[0]), float(ends[1]))


def refuse_missing_captum() -> None:
    """Check that captum is installed, so that a missing extra is reported before the data are read.

    Raises:
        ConfigError: captum is not installed.
    """
    _integrated_gradients()


def _integrated_gradients() -> type:
    try:
        from captum.attr import IntegratedGradients
    except ImportError as error:
        raise ConfigError("survlstm explain needs captum: pip install 'survlstm[explain]'") from error
    return IntegratedGradients
