"""Loss and predictions on the days clock: worked by hand, in windows, and free of times that are only evaluated."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from survlstm.data.batches import Batches
from survlstm.data.split import Split
from survlstm.data.tensors import Tensors
from survlstm.survival.loss import nll_per_step
from survlstm.training.initial_hazard import initial_hazard
from survlstm.training.out_of_memory import describe_batch
from survlstm.training.prediction import predict_split
from tests.days import prepared_days
from tests.learning import CPU, FEATURES, batches_of, figures, fit, model_for, prepared_on, train_step_of


def rows_by_hand(*, rows_per_subject, step, event, exposure, intervals=1, kind=None):
    """Tensors whose subjects have as many visits as rows, one code in each."""
    rows, visits = len(step), np.array(rows_per_subject)
    offsets = np.concatenate([[0], np.cumsum(visits)])
    number = np.arange(rows) - np.repeat(offsets[:-1], visits)
    return Tensors(
        subject_id=np.array([f"s{each}" for each in range(len(visits))]),
        split=np.zeros(len(visits), dtype=np.int8),
        step=np.array(step),
        event=np.array(event, dtype=bool),
        duration_days=np.zeros(rows),
        edge_days=np.arange(intervals + 1.0) * 30,
        visit_offsets=offsets,
        visit_time=np.datetime64("2020-01-01", "s") + number * np.timedelta64(86400, "s"),
        features=np.zeros((rows, 5), dtype=np.float32),
        oracle_hazard=np.full(rows, np.nan, dtype=np.float32),
        code_offsets=np.arange(rows + 1),
        code=np.full(rows, 2, dtype=np.int32),
        row_subject=np.repeat(np.arange(len(visits)), visits),
        row_visits=number + 1,
        row_time=np.full(rows, np.datetime64("2020-01-01", "s")),
        row_kind=np.zeros(rows, dtype=np.int8) if kind is None else np.array(kind, dtype=np.int8),
        exposure=np.array(exposure, dtype=float),
        prediction_features=np.zeros((rows, 1), dtype=np.float32),
    )


def batches_by_hand(tensors, **settings):
    return Batches(tensors, np.arange(len(tensors.subject_id)), 8, FEATURES, **settings)


class Constant(torch.nn.Module):
    """The same hazard in each interval for everybody."""

    def __init__(self, hazard):
        super().__init__()
        self.logit = torch.nn.Parameter(torch.logit(torch.tensor(hazard, dtype=torch.float64)))

    def forward(self, inputs):
        return self.logit.expand(len(inputs.last_slot), -1)


def loss_of(hazard, batches):
    """The loss of the training step, and its gradient by the logits."""
    model = Constant(hazard)
    batch = batches.collate(batches.members)
    nll = nll_per_step(model(batch.inputs), at_risk=batch.at_risk, event=batch.event)
    loss = (nll * batch.weight).sum() / batch.subjects
    loss.backward()
    return float(loss.detach()), model.logit.grad.numpy()


# One interval; one subject has the event, two survive it, and one is censored halfway through it.
FOUR = rows_by_hand(
    rows_per_subject=[1] * 4, step=[0, 0, 0, -1], event=[True, False, False, False], exposure=[0, 0, 0, 0.5]
)


def test_the_likelihood_of_one_interval_by_hand():
    """-log h - 2 log(1 - h) - 0.5 log(1 - h), which is least at h = 1 / 3.5."""
    for hazard in (0.1, 1 / 3.5, 0.6):
        loss, gradient = loss_of([hazard], batches_by_hand(FOUR))
        assert loss == pytest.approx((-np.log(hazard) - 2.5 * np.log(1 - hazard)) / 4)
        assert (abs(gradient[0]) < 1e-7) == (hazard == 1 / 3.5)
    assert initial_hazard(FOUR) == pytest.approx([(1 + 1 / 3.5) / (3.5 + 1)])


def test_every_row_weighs_one():
    """The subject with the event has three rows: in the first interval, in the second, and censored in neither."""
    tensors = rows_by_hand(
        rows_per_subject=[3, 1, 2],
        step=[1, 0, 0, 1, 0, -1],
        event=[True, True, True, False, False, False],
        exposure=[0, 0, 0, 0, 0.25, 0.75],
        intervals=2,
    )
    one, two = 0.2, 0.3
    of_rows = [-np.log(1 - one) - np.log(two), -np.log(one), -np.log(one)]
    of_rows += [-np.log(1 - one) - np.log(1 - two), -np.log(1 - one) - 0.25 * np.log(1 - two), -0.75 * np.log(1 - one)]
    batches = batches_by_hand(tensors)
    assert batches.row_weight == 3 / 6
    assert loss_of([one, two], batches)[0] == pytest.approx(np.mean(of_rows))
    found = predict_split(Constant([one, two]), batches, CPU)
    np.testing.assert_allclose(found.nll, of_rows)
    assert found.group.tolist() == [0, 0, 0, 1, 2, 2]
    np.testing.assert_allclose(found.survival, [[0.8, 0.56]] * 6)
    at_risk, events = np.array([5.75, 2.25]), np.array([2, 1])
    mean = events.sum() / at_risk.sum()
    assert initial_hazard(tensors) == pytest.approx(((events + mean) / (at_risk + 1)).tolist())


def test_of_rows_that_are_only_evaluated_none_is_trained_on():
    tensors = rows_by_hand(
        rows_per_subject=[3, 2], step=[0] * 5, event=[0, 1, 0, 1, 1], exposure=[0] * 5, kind=[0, 1, 1, 0, 2]
    )
    assert loss_of([0.2], batches_by_hand(tensors))[0] == pytest.approx((-np.log(0.8) - np.log(0.2)) / 2)
    found = predict_split(Constant([0.2]), batches_by_hand(tensors, all_rows=True), CPU)
    assert found.row.tolist() == [0, 1, 2, 3, 4]
    assert (tensors.trained_rows.tolist(), tensors.trained_visits.tolist()) == ([1, 1], [1, 1])
    assert tensors.rows_of(np.array([1, 0]), kind=1).tolist() == [1, 2]


@pytest.mark.parametrize("max_visits", [None, 4])
def test_the_loss_of_a_batch_is_that_of_the_predictions(max_visits):
    prepared = prepared_on("days")
    model, batches = model_for(prepared, dropout=0.0).eval(), batches_of(prepared, max_visits=max_visits)
    batch = batches.collate(batches.members)
    with torch.no_grad():
        nll = nll_per_step(model(batch.inputs), at_risk=batch.at_risk, event=batch.event)
    loss = float((nll * batch.weight).sum() / batch.subjects)
    assert predict_split(model, batches, CPU).nll.mean() == pytest.approx(loss, rel=1e-6)
    said = describe_batch(batches, batches.members)
    assert said.endswith(f"and {len(batch.inputs.prediction_slot)} prediction times")


@pytest.mark.parametrize("all_rows", [False, True])
@pytest.mark.parametrize("max_visits", [None, 2, 3, 4, 7])
def test_the_slot_of_each_prediction_time_holds_the_last_visit_that_it_sees(max_visits, all_rows):
    prepared = prepared_days("every_days:40", evaluated=("visit:4", "day:100"), subjects=90)
    data = prepared.tensors
    batches = replace(batches_of(prepared, max_visits=max_visits), all_rows=all_rows)
    chosen = np.random.default_rng(0).permutation(batches.members)[:17]
    batch, rows = batches.collate(chosen), batches.rows(chosen)
    inputs = batch.inputs
    assert len(inputs.prediction_slot) == len(rows) > 50
    # The features of a visit are its own, and its days count from the first visit of the record.
    last = data.last_visit[rows]
    np.testing.assert_array_equal(
        inputs.visit_features.numpy()[inputs.prediction_slot], data.features[last][:, FEATURES]
    )
    first = data.visit_time[data.visit_offsets[data.row_subject[rows]]]
    days = (data.visit_time[last] - first).astype(float) / 86400
    np.testing.assert_allclose(inputs.visit_days.numpy()[inputs.prediction_slot], days, rtol=1e-6)
    assert (data.row_time[rows] >= data.visit_time[last]).all()
    # The history in the window is between half of it and a whole one, near the start everything.
    if max_visits is not None:
        starts = torch.cumsum(inputs.visits_per_row, 0) - inputs.visits_per_row
        position = torch.full((inputs.slots,), -1)
        for start, length in zip(starts.tolist(), inputs.visits_per_row.tolist(), strict=True):
            position[inputs.slot[start : start + length]] = torch.arange(length)
        history = position[inputs.prediction_slot].numpy() + 1
        seen = data.row_visits[rows]
        assert (history <= np.minimum(seen, max_visits)).all()
        assert (history >= np.minimum(seen, max_visits - max_visits // 2 + 1)).all()


@pytest.mark.parametrize("max_visits", [None, 4])
def test_logits_do_not_depend_on_the_batch(max_visits):
    prepared = prepared_on("days")
    model, batches = model_for(prepared), batches_of(prepared, max_visits=max_visits)
    whole = predict_split(model, batches, CPU)
    single = predict_split(model, replace(batches, batch_size=1), CPU)
    assert whole.row.tolist() == single.row.tolist() == batches.rows(batches.members).tolist()
    np.testing.assert_allclose(whole.hazard, single.hazard, rtol=1e-5)
    # Those of a subject differ from each other.
    assert len(np.unique(whole.hazard[:, 0])) > 0.9 * len(whole.row)


EVALUATED = ("as_of:2011-06-01", "every_days:33", "day:900", "visit:2")


def test_times_that_are_only_evaluated_do_not_touch_training(tmp_path):
    """The weights after some epochs with dropout are the same bit for bit."""
    found = []
    for name, evaluated in (("without", ()), ("with", EVALUATED)):
        prepared = prepared_days("visit:3", "visit:5", evaluated=evaluated, subjects=150)
        model = model_for(prepared)
        history = fit(prepared, tmp_path / name, train_step_of(model), epochs=2)
        found.append((prepared, model, history))
    (one, model, history), (other, same_model, same_history) = found
    assert other.flow.prediction_times.evaluated > 300
    # With evaluation times, longer records are stored; the training rows must be the same.
    assert len(other.tensors.visit_time) > len(one.tensors.visit_time)
    assert one.preprocessing.as_plain() == other.preprocessing.as_plain()
    assert figures(history) == figures(same_history)
    for before, after in zip(model.state_dict().values(), same_model.state_dict().values(), strict=True):
        assert torch.equal(before, after)
    rows = other.tensors.row_kind == 0
    for name in ("step", "event", "duration_days", "row_visits", "row_time", "exposure", "prediction_features"):
        np.testing.assert_array_equal(getattr(one.tensors, name), getattr(other.tensors, name)[rows])
    test = [batches_of(prepared, Split.TEST) for prepared, *_ in found]
    np.testing.assert_array_equal(*(predict_split(model, batches, CPU).hazard for batches in test))
