"""Small models with a linear part, started at a regression that is fitted once for each clock."""

from __future__ import annotations

import functools

import pytest

from survlstm.models.nested_lstm import NestedSurvivalLSTM
from survlstm.training.initial_hazard import initial_hazard
from survlstm.training.linear_start import start_linear_part
from survlstm.training.regression.history_regression import fit_history_regression
from survlstm.training.seeding import seed_everything
from tests.learning import batches_of, prepared_on


def nested_for(prepared, *, dropout=0.3, seed=0):
    """A small model for prepared data, before its start."""
    seed_everything(seed, deterministic=True)
    sizes = prepared.preprocessing.sizes
    model = NestedSurvivalLSTM(
        vocabulary_size=sizes.vocabulary_size,
        embedding_dim=6,
        hidden_dim=8,
        num_layers=2,
        dropout=dropout,
        linear_lr=0.01,
        linear_weight_decay=0.0,
        grad_clip=1.0,
        visit_features=len(batches_of(prepared).features),
        intervals=sizes.intervals,
        mean_hazard=initial_hazard(prepared.tensors),
        prediction_features=sizes.prediction_features,
    )
    model.embedding.set_fused(sizes.fused_codes)
    return model


@functools.cache
def regression_on(clock):
    """The regression on the numbers that ``batches_of`` reads."""
    prepared = prepared_on(clock)
    return fit_history_regression(prepared.tensors, batches_of(prepared).features)


def started(clock, **settings):
    """A small model at the regression."""
    prepared = prepared_on(clock)
    model = nested_for(prepared, **settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("survlstm.training.linear_start.shared_history_regression", lambda *_: regression_on(clock))
        start_linear_part(model, batches_of(prepared), vocabulary_size=len(prepared.vocabulary))
    return model
