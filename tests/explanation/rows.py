"""Small cohorts to explain, and a model's own prediction for a record from which entries are removed."""

import numpy as np
import torch

from survlstm.data.packing import pack_rows
from survlstm.data.split import Split
from survlstm.explanation.model_inputs import score_from_logits
from survlstm.models.protocol import ModelInputs
from tests.learning import batches_of, model_for, prepared_on


def case(clock, *, max_visits=None):
    """An untrained model in evaluation mode, and the batches of the test subjects.

    On the landmark clock every third code counts as a fused code of a value.
    """
    prepared = prepared_on(clock)
    model = model_for(prepared).eval().requires_grad_(False)
    model.embedding.set_fused(range(2, len(prepared.vocabulary), 3) if clock == "landmark" else ())
    # The initial weights are so small that effects would be lost in rounding.
    for weight in model.parameters():
        weight.mul_(3)
    return model, batches_of(prepared, Split.TEST, max_visits=max_visits)


def forward(model, record, *, kept=None):
    """Compute the log-odds of a record by the model's own ``forward``, from the entries where ``kept`` is True."""
    kept = np.ones(len(record.code), dtype=bool) if kept is None else kept
    codes, visit = record.code.numpy()[kept], record.visit.numpy()[kept]
    layout = pack_rows(np.array([record.visits]))
    inputs = ModelInputs(
        codes=torch.from_numpy(codes),
        code_offsets=torch.from_numpy(np.searchsorted(visit, np.arange(record.visits))),
        visit_features=record.features,
        visit_days=record.days,
        slices=layout.slices,
        slot=torch.from_numpy(layout.slot),
        visits_per_row=torch.tensor([record.visits]),
    )
    logits = model(inputs)
    return float(score_from_logits(logits[-1:] if model.intervals is None else logits))
