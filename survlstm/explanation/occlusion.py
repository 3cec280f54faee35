"""Occlusion: the change of the log-odds of the event if one code is left out of a subject's record."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import nn

from survlstm.data.batches import Batches
from survlstm.explanation.model_inputs import ModelInput, entry_weights, log_odds, model_input, visit_embeddings
from survlstm.models.layers import embedding_of

# Visits computed at once: half a gigabyte for the largest of the models in conf.
MOST_VISITS = 2**15


class Occlusion(NamedTuple):
    """Effects of the codes of one subject's record.

    Attributes:
        code: indices of the record's codes in the vocabulary, ascending; shape (code,).
        effect: log-odds of the event with the code minus log-odds without it, above 0 if the code raises the risk;
            shape (code,).
        entries: number of entries of the code in the visits that the model reads; shape (code,).
        last_visit: index of the latest visit with the code, counted from 0 in the whole record; shape (code,).
        log_odds: log-odds of the whole record, as ``survlstm.explanation.model_inputs.log_odds`` defines them.
    """

    code: Int64[np.ndarray, " code"]
    effect: Float[np.ndarray, " code"]
    entries: Int64[np.ndarray, " code"]
    last_visit: Int64[np.ndarray, " code"]
    log_odds: float


def occlude(model: nn.Module, batches: Batches, subject: int) -> Occlusion:
    """Leave out each code of a subject in turn and compute the change of the log-odds.

    Without the code a visit is the mean of its other codes, or their sum where the model sums, and 0 if it has no other
    code. The visit features are not changed.

    Args:
        model: the model to explain, on the host. It is set to evaluation mode.
        batches: source of the record, with the feature columns and ``max_visits`` of the training.
        subject: index of the subject in ``batches.tensors``.

    Returns:
        The effect of each distinct code of the visits that the model reads, in ascending order of the codes.
    """
    return occlude_input(model, model_input(batches, subject))


@torch.no_grad()
def occlude_input(model: nn.Module, record: ModelInput) -> Occlusion:
    """Leave out each code of a record in turn, see ``occlude``.

    The codes are computed in blocks of at most ``MOST_VISITS`` visits, so that a long record does not exhaust the
    memory.

    Args:
        model: the model to explain, on the host. It is set to evaluation mode.
        record: the visits that the model reads, see ``model_input``.

    Returns:
        The effect of each distinct code of the record, in ascending order of the codes.
    """
    model.eval()
    layer = embedding_of(model)
    means = layer.mean_columns
    weight = layer.rows[:, :means]
    rows = layer.rows[record.code]
    embedded = rows[:, :means]
    code, code_of_entry, entries = torch.unique(record.code, return_inverse=True, return_counts=True)
    last = torch.zeros(len(code), dtype=torch.int64).scatter_reduce(0, code_of_entry, record.visit, "amax")
    in_visits = visit_embeddings(rows, record, model)
    whole = log_odds(model, in_visits[None], record)
    # Columns after the means are sums, from which the entries of a code are subtracted.
    summed = (rows * entry_weights(record, model))[:, means:]
    # A visit is the sum of two means: that of the fused codes (1) and that of all others (0).
    group_of_code = layer.is_fused[code].long()
    group = 2 * record.visit + layer.is_fused[record.code]
    number = torch.bincount(group, minlength=2 * record.visits).float().unflatten(0, (record.visits, 2)).T
    total = embedded.new_zeros(2 * record.visits, embedded.shape[1]).index_add(0, group, embedded)
    total = total.unflatten(0, (record.visits, 2)).transpose(0, 1)
    part = total / number.clamp(min=1)[:, :, None]
    without = []
    for block in torch.arange(len(code)).split(max(1, MOST_VISITS // record.visits)):
        # Number of entries of each code of the block in each visit.
        here = (code_of_entry >= block[0]) & (code_of_entry <= block[-1])
        place = (code_of_entry[here] - block[0], record.visit[here])
        counts = torch.zeros(len(block), record.visits)
        counts.index_put_(place, torch.ones(int(here.sum())), accumulate=True)
        sums = summed.new_zeros(len(block), record.visits, summed.shape[1])
        sums.index_put_(place, summed[here], accumulate=True)
        own = group_of_code[block]
        left = number[own] - counts
        rest = (total[own] - counts[:, :, None] * weight[code[block]][:, None]) / left.clamp(min=1)[:, :, None]
        # Without another code of the group in the visit the difference of the sums is a rounding error, not 0.
        rest[left == 0] = 0
        others = in_visits[:, means:] - sums
        without.append(log_odds(model, torch.cat([rest + part[1 - own], others], dim=2), record))
    return Occlusion(
        code.numpy(),
        (whole - torch.cat(without)).double().numpy(),
        entries.numpy(),
        record.first_visit + last.numpy(),
        float(whole),
    )
