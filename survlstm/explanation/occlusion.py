"""A model and a subject's record → what each code adds to the log-odds of the event, found by leaving it out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64

from survlstm.data.batches import Batches
from survlstm.explanation.model_inputs import ModelInput, log_odds, model_input, visit_means
from survlstm.models.lstm import DiscreteTimeSurvivalLSTM

# Visits computed at once: half a gigabyte for the largest of the models in conf.
MOST_VISITS = 2**15


class Occlusion(NamedTuple):
    """The codes of one subject's row, in the order of their numbers in the vocabulary.

    ``effect`` is the log-odds of the event with the code minus that without it: above 0 the code raises the risk.
    ``entries`` counts the code's entries in the row, ``last_visit`` is the subject's latest visit (from 0) that has it.
    ``log_odds`` is that of the whole row, on the scale of ``survlstm.explanation.model_inputs.log_odds``.
    """

    code: Int64[np.ndarray, " code"]
    effect: Float[np.ndarray, " code"]
    entries: Int64[np.ndarray, " code"]
    last_visit: Int64[np.ndarray, " code"]
    log_odds: float


def occlude(model: DiscreteTimeSurvivalLSTM, batches: Batches, subject: int) -> Occlusion:
    """Leave out each code of a subject in turn; ``subject`` is its number in ``batches.tensors``.

    ``batches`` must have the feature columns and ``max_visits`` that the model was trained with, and the model be on
    the host. Without a code a visit is the mean of its other codes, 0 where it has none; the visit features stay as
    they are.
    """
    return occlude_input(model, model_input(batches, subject))


@torch.no_grad()
def occlude_input(model: DiscreteTimeSurvivalLSTM, record: ModelInput) -> Occlusion:
    """``occlude`` of a row that is read already; codes in blocks, so that long records stay within memory."""
    model.eval()
    weight = model.embedding.weight
    embedded = weight[record.code]
    code, place, entries = torch.unique(record.code, return_inverse=True, return_counts=True)
    last = torch.zeros(len(code), dtype=torch.int64).scatter_reduce(0, place, record.visit, "amax")
    whole = log_odds(model, visit_means(embedded, record)[None], record.features)
    per_visit = torch.bincount(record.visit, minlength=record.visits)
    total = embedded.new_zeros(record.visits, embedded.shape[1]).index_add(0, record.visit, embedded)
    without = []
    for block in torch.arange(len(code)).split(max(1, MOST_VISITS // record.visits)):
        # How often each code of the block stands in each visit.
        here = (place >= block[0]) & (place <= block[-1])
        times = torch.zeros(len(block), record.visits)
        times.index_put_((place[here] - block[0], record.visit[here]), torch.ones(int(here.sum())), accumulate=True)
        left = per_visit - times
        means = (total - times[:, :, None] * weight[code[block]][:, None]) / left.clamp(min=1)[:, :, None]
        # Nothing is left of a sum but its rounding.
        means[left == 0] = 0
        without.append(log_odds(model, means, record.features))
    return Occlusion(
        code.numpy(),
        (whole - torch.cat(without)).double().numpy(),
        entries.numpy(),
        record.first_visit + last.numpy(),
        float(whole),
    )
