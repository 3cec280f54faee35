"""Batches and a subject → the row of visits that the model reads for the subject's last hazard, and its log-odds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from survlstm.data.batches import Batches, latest_windows, make_windows
from survlstm.data.ragged import flat_positions
from survlstm.models.lstm import DiscreteTimeSurvivalLSTM


class ModelInput(NamedTuple):
    """A subject's visits as the model reads them for the hazard behind the last one.

    With ``max_visits`` these are the visits of the last window only; ``first_visit`` is how many visits of the subject
    lie before them. An entry is one code of one visit: ``code`` numbers the vocabulary, ``visit`` the row's visits from
    0 on. ``features`` are standardised, in the columns that the model was trained with.
    """

    subject: int
    first_visit: int
    time: np.ndarray
    code: Int64[Tensor, " entry"]
    visit: Int64[Tensor, " entry"]
    features: Float[Tensor, "visit feature"]

    @property
    def visits(self) -> int:
        """How many visits the row holds."""
        return len(self.features)


def model_input(batches: Batches, subject: int) -> ModelInput:
    """The row of a subject, by its number in ``batches.tensors``: the same that a batch would hold."""
    data = batches.tensors
    read = latest_windows if data.clock == "landmark" else make_windows
    rows = read(batches.visits(np.array([subject])), batches.max_visits)
    first, length = int(rows.start[-1]), int(rows.length[-1])
    visit = int(data.visit_offsets[subject]) + first + np.arange(length)
    codes = data.code_offsets[visit + 1] - data.code_offsets[visit]
    return ModelInput(
        subject=subject,
        first_visit=first,
        time=data.visit_time[visit],
        code=torch.from_numpy(data.code[flat_positions(data.code_offsets[visit], codes)].astype(np.int64)),
        visit=torch.from_numpy(np.repeat(np.arange(length), codes)),
        features=torch.from_numpy(data.features[visit][:, batches.features]),
    )


def visit_means(embedded: Float[Tensor, "entry embedding"], record: ModelInput) -> Float[Tensor, "visit embedding"]:
    """The mean embedding of each visit's entries, as the model's own embedding takes it; 0 where a visit has none."""
    total = embedded.new_zeros(record.visits, embedded.shape[1]).index_add(0, record.visit, embedded)
    entries = torch.bincount(record.visit, minlength=record.visits)
    return total / entries.clamp(min=1)[:, None]


def log_odds(
    model: DiscreteTimeSurvivalLSTM,
    means: Float[Tensor, "variant visit embedding"],
    features: Float[Tensor, "visit feature"],
) -> Float[Tensor, " variant"]:
    """The log-odds of the event behind the last visit, for variants of one record that differ in their codes.

    On the visit clock the logit of the hazard after the last visit; on the landmark clock log((1-S)/S), S being the
    survival through the last interval. Higher = the event is likelier. All variants make one slice, so that position
    after position each of them takes its turn (see survlstm.data.packing).
    """
    variants, visits, _ = means.shape
    place = torch.arange(visits) * variants + torch.arange(variants)[:, None]
    logits = model.read(
        means.transpose(0, 1).flatten(0, 1),
        features.repeat_interleave(variants, dim=0),
        ((variants, visits),),
        place.flatten(),
        torch.full((variants,), visits),
    )
    return score_from_logits(logits[-variants:] if model.intervals is None else logits)


def score_from_logits(
    logits: Float[Tensor, " row"] | Float[Tensor, "row interval"],
) -> Float[Tensor, " row"]:
    """The score that is explained, from the logits of one step or of all intervals; 1-S never rounds to 0."""
    if logits.ndim == 1:
        return logits
    log_survival = torch.nn.functional.logsigmoid(-logits).sum(dim=1)
    return torch.log(-torch.expm1(log_survival)) - log_survival
