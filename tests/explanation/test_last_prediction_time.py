"""On the days clock the last prediction time to train on is explained."""

import numpy as np
import pytest
import torch

from survlstm.data.split import Split
from survlstm.explanation.model_inputs import log_odds, log_odds_of_prefixes, model_input, visit_embeddings
from survlstm.models.layers import embedding_of
from survlstm.training.prediction import predict_split
from tests.days import prepared_days
from tests.explanation.rows import case
from tests.learning import CPU, batches_of, model_for


def means_of(model, record):
    return visit_embeddings(embedding_of(model).weight[record.code], record, model)


@pytest.mark.parametrize("max_visits", [None, 4])
def test_the_log_odds_are_those_of_the_prediction(max_visits):
    model, batches = case("days", max_visits=max_visits)
    predictions, tensors = predict_split(model, batches, CPU), batches.tensors
    for subject in batches.members[:10].tolist():
        record = model_input(batches, subject)
        row = np.flatnonzero(predictions.subject == subject)[-1]
        survival = predictions.survival[row, -1]
        assert record.first_visit + record.visits == tensors.row_visits[predictions.row[row]]
        found = float(log_odds(model, means_of(model, record)[None], record))
        assert found == pytest.approx(np.log((1 - survival) / survival), abs=1e-5)


def test_visits_after_the_last_time_to_train_on_are_not_read():
    prepared = prepared_days("day:60", evaluated=("every_visit",), subjects=90)
    batches = batches_of(prepared, Split.TEST)
    longer = prepared.tensors.visits_per_subject > prepared.tensors.trained_visits
    subject = int(np.flatnonzero(longer & (prepared.tensors.split == Split.TEST))[0])
    record = model_input(batches, subject)
    assert record.visits == prepared.tensors.trained_visits[subject]
    row = prepared.tensors.rows_of(np.array([subject]))[-1]
    assert record.prediction_features.tolist() == prepared.tensors.prediction_features[row].tolist()


def test_the_last_prefix_is_the_record():
    model, batches = case("days")
    record = model_input(batches, int(batches.members[0]))
    means = means_of(model, record)
    lengths = np.arange(1, record.visits + 1)
    prefixes = log_odds_of_prefixes(model, means, record, lengths)
    assert float(prefixes[-1]) == pytest.approx(float(log_odds(model, means[None], record)), abs=1e-5)


def test_the_days_since_the_last_visit_count():
    prepared = prepared_days("every_days:60", subjects=90)
    model, batches = model_for(prepared).eval().requires_grad_(False), batches_of(prepared, Split.TEST)
    for weight in model.parameters():
        weight.mul_(3)
    record = model_input(batches, int(batches.members[0]))
    later = record._replace(prediction_features=torch.tensor([3.0]) + record.prediction_features)
    first, second = (float(log_odds(model, means_of(model, record)[None], one)) for one in (record, later))
    assert first != pytest.approx(second, abs=1e-6)
