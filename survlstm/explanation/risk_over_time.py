"""Explanation of one subject visit by visit: the log-odds after each visit, and the attributions of its codes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import nn

from survlstm.data.batches import Batches
from survlstm.explanation.gradients import CodeAttribution, average_embedding, integrated_gradients
from survlstm.explanation.model_inputs import ModelInput, log_odds_of_prefixes, model_input, visit_embeddings
from survlstm.explanation.occlusion import MOST_VISITS, Occlusion, occlude_input
from survlstm.models.layers import embedding_of


class RiskOverTime(NamedTuple):
    """Explanation of one subject over time.

    A cell is one code of one visit. Cells are ordered by visit, then by code.

    Attributes:
        record: the visits that the model reads.
        trajectory: log-odds of the event after each visit, given that visit and those before it; shape (visit,).
        gradients: attributions of the log-odds after the last visit to the entries.
        occlusion: effects of the codes on the log-odds after the last visit.
        cell_visit: index of the cell's visit among the visits read, from 0; shape (cell,).
        cell_code: index of the cell's code in the vocabulary; shape (cell,).
        cell_entries: number of entries in the cell; shape (cell,).
        cell_attribution: attribution of the log-odds after the last visit to the cell; shape (cell,).
    """

    record: ModelInput
    trajectory: Float[np.ndarray, " visit"]
    gradients: CodeAttribution
    occlusion: Occlusion
    cell_visit: Int64[np.ndarray, " cell"]
    cell_code: Int64[np.ndarray, " cell"]
    cell_entries: Int64[np.ndarray, " cell"]
    cell_attribution: Float[np.ndarray, " cell"]


def explain_risk_over_time(model: nn.Module, batches: Batches, subject: int, *, integration_steps: int) -> RiskOverTime:
    """Explain one subject visit by visit.

    Args:
        model: the model to explain, on the host. It is set to evaluation mode.
        batches: source of the record, with the feature columns and ``max_visits`` of the training.
        subject: index of the subject in ``batches.tensors``.
        integration_steps: number of points on the path of integrated gradients.

    Returns:
        The log-odds after each visit, and the attributions and effects of the codes.

    Raises:
        ConfigError: captum is not installed.
    """
    record = model_input(batches, subject)
    gradients = integrated_gradients(
        model, record, baseline=average_embedding(model, batches.tensors), steps=integration_steps
    )
    visit, code = record.visit.numpy(), record.code.numpy()
    cells, cell_of_entry, entries = np.unique(np.stack([visit, code]), axis=1, return_inverse=True, return_counts=True)
    return RiskOverTime(
        record,
        _trajectory(model, batches, record),
        gradients,
        occlude_input(model, record),
        cell_visit=cells[0],
        cell_code=cells[1],
        cell_entries=entries,
        cell_attribution=np.bincount(cell_of_entry.reshape(-1), weights=gradients.attribution),
    )


@torch.no_grad()
def _trajectory(model: nn.Module, batches: Batches, record: ModelInput) -> Float[np.ndarray, " visit"]:
    """Compute the log-odds after each visit.

    On the visit clock these are the logits of the predicted hazards. On the landmark clock they are computed as if each
    visit were the last one before the landmark, on the days clock as ``log_odds_of_prefixes`` says.
    """
    model.eval()
    if batches.tensors.clock == "visit":
        batch = batches.collate(np.array([record.subject]))
        slot = batch.inputs.slot
        # With max_visits every visit's hazard counts in exactly one window, and the windows are in order.
        return model(batch.inputs)[slot][batch.at_risk[slot]][record.first_visit :].double().numpy()
    means = visit_embeddings(embedding_of(model).rows[record.code], record, model)
    lengths = np.arange(1, record.visits + 1)
    parts = np.split(lengths, np.flatnonzero(np.diff(np.cumsum(lengths) // MOST_VISITS)) + 1)
    return torch.cat([log_odds_of_prefixes(model, means, record, part) for part in parts]).double().numpy()
