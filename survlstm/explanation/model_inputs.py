"""The visits that the model reads for a subject's last prediction, and the log-odds of the event after them."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from survlstm.data.batches import Batches, latest_windows, make_windows
from survlstm.data.packing import pack_rows
from survlstm.data.targets import days_between
from survlstm.models.layers import embedding_of
from survlstm.models.protocol import ModelInputs
from survlstm.utils.ragged import flat_positions


class ModelInput(NamedTuple):
    """A subject's visits as the model reads them for the hazard after the last visit.

    On the days clock they are read for the last prediction time to train on, and end there. With ``max_visits`` these
    are the visits of the last window only. An entry is one code of one visit.

    Attributes:
        subject: index of the subject in ``batches.tensors``.
        first_visit: number of the subject's visits before the first one read; 0 without ``max_visits``.
        time: time of each visit, datetime64; shape (visit,).
        days: days from the subject's first visit to each visit; shape (visit,).
        code: index of each entry's code in the vocabulary; shape (entry,).
        visit: index of each entry's visit among the visits read, from 0; shape (entry,).
        features: standardised visit features, in the columns that the model was trained with; shape (visit, feature).
        prediction_features: on the days clock, standardised numbers of the prediction time; shape (feature,). None on
            the other clocks.
    """

    subject: int
    first_visit: int
    time: np.ndarray
    days: Float[Tensor, " visit"]
    code: Int64[Tensor, " entry"]
    visit: Int64[Tensor, " entry"]
    features: Float[Tensor, "visit feature"]
    prediction_features: Float[Tensor, " feature"] | None = None

    @property
    def visits(self) -> int:
        """Number of visits read."""
        return len(self.features)


def model_input(batches: Batches, subject: int) -> ModelInput:
    """Select the visits of a subject that a batch would hold for its last hazard.

    Args:
        batches: source of the record, with the feature columns and ``max_visits`` of the training.
        subject: index of the subject in ``batches.tensors``.

    Returns:
        All visits of the subject in ``batches.tensors``, on the days clock those up to its last prediction time to
        train on; with ``max_visits`` the last window of ``make_windows`` on the visit clock, the window of that time on
        the days clock, and the last ``max_visits`` visits on the landmark clock.
    """
    data = batches.tensors
    divide = latest_windows if data.clock == "landmark" else make_windows
    row = int(data.rows_of(np.array([subject]))[-1]) if data.clock == "days" else None
    visits = batches.visits(np.array([subject])) if row is None else data.row_visits[[row]]
    # Windows begin at fixed visits, so that the last one of the visits so far is the one that the model reads.
    rows = divide(visits, batches.max_visits)
    first, length = int(rows.start[-1]), int(rows.length[-1])
    begin = int(data.visit_offsets[subject])
    visit = begin + first + np.arange(length)
    codes = data.code_offsets[visit + 1] - data.code_offsets[visit]
    return ModelInput(
        subject=subject,
        first_visit=first,
        time=data.visit_time[visit],
        days=torch.from_numpy(days_between(data.visit_time[[begin]], data.visit_time[visit]).astype(np.float32)),
        code=torch.from_numpy(data.code[flat_positions(data.code_offsets[visit], codes)].astype(np.int64)),
        visit=torch.from_numpy(np.repeat(np.arange(length), codes)),
        features=torch.from_numpy(data.features[visit][:, batches.features]),
        prediction_features=None if row is None else torch.from_numpy(data.prediction_features[row]),
    )


def visit_embeddings(
    embedded: Float[Tensor, "entry embedding"], record: ModelInput, model: nn.Module
) -> Float[Tensor, "visit embedding"]:
    """Combine the embeddings of each visit's entries, as the model's own embedding layer does.

    Args:
        embedded: embedding of each entry; shape (entry, embedding).
        record: the record that the entries belong to.
        model: the model, which knows the fused codes.

    Returns:
        The embedding of each visit; 0 for a visit without entries.
    """
    weighted = embedded * entry_weights(record, model)
    return embedded.new_zeros(record.visits, embedded.shape[1]).index_add(0, record.visit, weighted)


def entry_weights(record: ModelInput, model: nn.Module) -> Float[Tensor, "entry column"]:
    """Return the weights of each entry's embedding in that of its visit.

    Args:
        record: the record.
        model: the model, whose embedding layer defines them.

    Returns:
        See ``survlstm.models.layers.VisitEmbedding.entry_weights``.
    """
    return embedding_of(model).entry_weights(record.code, record.visit)


def log_odds(
    model: nn.Module, means: Float[Tensor, "variant visit embedding"], record: ModelInput
) -> Float[Tensor, " variant"]:
    """Compute the log-odds of the event after the last visit, for variants of one record that differ in their codes.

    On the visit clock this is the logit of the hazard of the step after the last visit. On the other clocks it is
    log((1-S)/S), where S is the survival at the end of the last interval. Higher means that the event is likelier.

    Args:
        model: the model, in evaluation mode.
        means: mean embedding of each visit of each variant; shape (variant, visit, embedding).
        record: the record; visit features and days are the same for all variants.

    Returns:
        The log-odds of each variant; shape (variant,).
    """
    return _scores_at_end(model, means.flatten(0, 1), record, np.full(len(means), means.shape[1]))


def log_odds_of_prefixes(
    model: nn.Module, means: Float[Tensor, "visit embedding"], record: ModelInput, lengths: Int64[np.ndarray, " prefix"]
) -> Float[Tensor, " prefix"]:
    """Compute the log-odds of the event after the first visits of a record, as if it ended there.

    On the days clock each prediction is made as many days after the last visit of its prefix as that of the record.

    Args:
        model: the model, in evaluation mode.
        means: mean embedding of each visit; shape (visit, embedding).
        record: the record.
        lengths: number of visits of each prefix, at least 1.

    Returns:
        The log-odds of each prefix, as ``log_odds`` defines them; shape (prefix,).
    """
    embedded = means[torch.from_numpy(flat_positions(np.zeros_like(lengths), lengths))]
    return _scores_at_end(model, embedded, record, lengths)


def _scores_at_end(
    model: nn.Module,
    embedded: Float[Tensor, "flat embedding"],
    record: ModelInput,
    lengths: Int64[np.ndarray, " row"],
) -> Float[Tensor, " row"]:
    """Compute the log-odds after the last visit of rows that begin with the record's first visit.

    Args:
        model: the model, in evaluation mode.
        embedded: mean embedding of each visit, row after row.
        record: the record, whose first visits have the features and days of every row's visits.
        lengths: number of visits of each row.
    """
    layout = pack_rows(lengths)
    slot = torch.from_numpy(layout.slot)
    visit = torch.from_numpy(flat_positions(np.zeros_like(lengths), lengths))

    def in_slots(values: Tensor) -> Tensor:
        return values.new_zeros(layout.total, *values.shape[1:]).index_copy(0, slot, values)

    inputs = ModelInputs(
        codes=torch.empty(0, dtype=torch.int64),
        code_offsets=torch.zeros(layout.total, dtype=torch.int64),
        visit_features=in_slots(record.features[visit]),
        visit_days=in_slots(record.days[visit]),
        slices=layout.slices,
        slot=slot,
        visits_per_row=torch.from_numpy(lengths),
        embedded=in_slots(embedded),
    )
    if record.prediction_features is not None:
        inputs = dataclasses.replace(
            inputs,
            prediction_slot=inputs.last_slot,
            prediction_features=record.prediction_features.expand(len(lengths), -1),
        )
    logits = model(inputs)
    return score_from_logits(logits[inputs.last_slot] if logits.ndim == 1 else logits)


def score_from_logits(
    logits: Float[Tensor, " row"] | Float[Tensor, "row interval"],
) -> Float[Tensor, " row"]:
    """Compute the explained log-odds from the logits of one step or of all intervals.

    Args:
        logits: on the visit clock the logit of one step, shape (row,), which is returned as it is; on the other clocks
            the logits of all intervals, shape (row, interval).

    Returns:
        log((1-S)/S) on the other clocks. ``expm1`` keeps 1-S above 0 if S rounds to 1; shape (row,).
    """
    if logits.ndim == 1:
        return logits
    log_survival = torch.nn.functional.logsigmoid(-logits).sum(dim=1)
    return torch.log(-torch.expm1(log_survival)) - log_survival
