"""A model and one subject → the log-odds after each visit, and what each code of each visit does to the last ones."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64

from survlstm.data.batches import Batches
from survlstm.explanation.gradients import CodeAttribution, average_embedding, integrated_gradients
from survlstm.explanation.model_inputs import ModelInput, model_input, score_from_logits, visit_means
from survlstm.explanation.occlusion import Occlusion, occlude_input
from survlstm.models.lstm import DiscreteTimeSurvivalLSTM


class RiskOverTime(NamedTuple):
    """One subject's row of visits, and the log-odds of the event after each visit, from it and those before it.

    A cell is a code of a visit, in the order of visits and then of codes. ``cell_visit`` counts the row's visits from
    0, ``cell_attribution`` is what integrated gradients give it of the log-odds after the *last* visit.
    """

    record: ModelInput
    trajectory: Float[np.ndarray, " visit"]
    gradients: CodeAttribution
    occlusion: Occlusion
    cell_visit: Int64[np.ndarray, " cell"]
    cell_code: Int64[np.ndarray, " cell"]
    cell_entries: Int64[np.ndarray, " cell"]
    cell_attribution: Float[np.ndarray, " cell"]


def explain_risk_over_time(
    model: DiscreteTimeSurvivalLSTM, batches: Batches, subject: int, *, integration_steps: int
) -> RiskOverTime:
    """Explain one subject, its number in ``batches.tensors``, visit by visit."""
    record = model_input(batches, subject)
    gradients = integrated_gradients(
        model, record, baseline=average_embedding(model, batches.tensors), steps=integration_steps
    )
    visit, code = record.visit.numpy(), record.code.numpy()
    cells, place, entries = np.unique(np.stack([visit, code]), axis=1, return_inverse=True, return_counts=True)
    return RiskOverTime(
        record,
        _trajectory(model, batches, record),
        gradients,
        occlude_input(model, record),
        cell_visit=cells[0],
        cell_code=cells[1],
        cell_entries=entries,
        cell_attribution=np.bincount(place.reshape(-1), weights=gradients.attribution),
    )


@torch.no_grad()
def _trajectory(model: DiscreteTimeSurvivalLSTM, batches: Batches, record: ModelInput) -> Float[np.ndarray, " visit"]:
    """On the visit clock the hazards that are predicted; on the landmark clock as if each visit were the last one."""
    model.eval()
    if model.intervals is None:
        batch = batches.collate(np.array([record.subject]))
        # Each visit counts in one window, and they come in order.
        return model(*batch.inputs)[batch.slot][batch.at_risk[batch.slot]][record.first_visit :].double().numpy()
    logits = model.read(
        visit_means(model.embedding.weight[record.code], record),
        record.features,
        ((1, record.visits),),
        torch.arange(record.visits),
        # Read as rows that end at each visit, the state of every visit gives its own intervals.
        torch.ones(record.visits, dtype=torch.int64),
    )
    return score_from_logits(logits).double().numpy()
