"""The trainer on a CUDA device: equal to the CPU within rounding, repeatable bit for bit."""

import dataclasses

import numpy as np
import pytest
import torch

from survlstm.data.batches import Batches
from survlstm.data.outcomes.synthetic import SyntheticOutcome
from survlstm.data.prepare import prepare_uncached
from survlstm.data.split import Split
from survlstm.models.keyed_dropout import KeyedDropout
from survlstm.models.lstm import DiscreteTimeSurvivalLSTM
from survlstm.training.budget import BudgetMeter
from survlstm.training.checkpoint import Checkpointer, load_checkpoint
from survlstm.training.early_stopping import EarlyStopping
from survlstm.training.initial_hazard import initial_hazard
from survlstm.training.prediction import predict_split
from survlstm.training.schedule import Schedule
from survlstm.training.seeding import seed_everything
from survlstm.training.train_step import TrainStep
from survlstm.training.trainer import Trainer
from survlstm.utils.errors import OutOfMemoryError
from tests.records import SETTINGS, RecordsSource, events_of, random_records

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
HOST = torch.device("cpu")


@pytest.fixture(scope="module")
def prepared():
    outcome = SyntheticOutcome(0.7, 1.7, 0.4, 0.4, 0.2, 1 / 60, seed=0, planted_codes=[])
    return prepare_uncached(RecordsSource(events_of(random_records(300, seed=0))), outcome, SETTINGS)


def train_step_of(prepared, device, **settings):
    seed_everything(0, deterministic=True)
    model = DiscreteTimeSurvivalLSTM(
        vocabulary_size=len(prepared.vocabulary),
        embedding_dim=8,
        hidden_dim=16,
        num_layers=2,
        dropout=0.3,
        visit_features=5,
        intervals=None,
        mean_hazard=initial_hazard(prepared.tensors),
    ).to(device)
    return TrainStep(model, torch.optim.AdamW(model.parameters(), lr=0.01, fused=True), device, 1.0, **settings)


def batches_of(prepared, part):
    return Batches(prepared.tensors, prepared.tensors.members(part), 32, tuple(range(5)))


def fit(prepared, folder, device, *, state=None, epochs=4, **settings):
    folder.mkdir(exist_ok=True)
    trainer = Trainer(
        train_step=train_step_of(prepared, device, **settings),
        scheduler=Schedule(None),
        early_stopping=EarlyStopping(None, 0.0, 0.0),
        checkpointer=Checkpointer(folder, 1, {}),
        budget=BudgetMeter(),
        seed=0,
        minutes_between_saves=60.0,
    )
    parts = (batches_of(prepared, part) for part in (Split.TRAIN, Split.VAL))
    return trainer, trainer.fit(*parts, epochs=epochs, state=state)


def figures(history):
    names = ("train_loss", "val_loss", "val_c_td", "grad_norm")
    return np.array([[getattr(epoch, name) for name in names] for epoch in history.epochs])


def test_the_history_is_the_hosts_within_rounding(prepared, tmp_path):
    _, host = fit(prepared, tmp_path / "host", HOST)
    _, cuda = fit(prepared, tmp_path / "cuda", torch.device("cuda"))
    np.testing.assert_allclose(figures(cuda), figures(host), rtol=1e-3)


def test_one_seed_gives_one_history_and_a_stopped_run_goes_on_bit_for_bit(prepared, tmp_path):
    device = torch.device("cuda")
    whole, history = fit(prepared, tmp_path / "whole", device)
    _, again = fit(prepared, tmp_path / "again", device)
    np.testing.assert_array_equal(figures(again), figures(history))
    state = load_checkpoint(tmp_path / "whole" / "checkpoints" / "epoch_0002.pt")
    resumed, rest = fit(prepared, tmp_path / "resumed", device, state=state)
    np.testing.assert_array_equal(figures(rest), figures(history))
    for ours, theirs in zip(resumed.train_step.model.parameters(), whole.train_step.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_dropout_falls_on_the_same_units_as_on_the_host():
    dropout = KeyedDropout(0.3, units=256, index=1)
    values, dropout_key = torch.ones(500, 256), torch.randint(-(2**31), 2**31, (500,)).int()
    on_host = dropout(values, dropout_key)
    assert torch.equal(dropout.cuda()(values.cuda(), dropout_key.cuda()).cpu(), on_host)


def test_predictions_are_the_hosts_within_rounding(prepared, tmp_path):
    trainer, _ = fit(prepared, tmp_path / "run", torch.device("cuda"), epochs=1)
    model, batches = trainer.train_step.model, batches_of(prepared, Split.TEST)
    cuda = predict_split(model, batches, torch.device("cuda"))
    np.testing.assert_allclose(cuda.hazard, predict_split(model.cpu(), batches, HOST).hazard, atol=1e-5)


def test_in_bfloat16_it_learns_as_well(prepared, tmp_path):
    _, exact = fit(prepared, tmp_path / "exact", torch.device("cuda"))
    _, lower = fit(prepared, tmp_path / "lower", torch.device("cuda"), precision=torch.bfloat16)
    np.testing.assert_allclose(figures(lower)[:, 0], figures(exact)[:, 0], rtol=0.02)


def test_out_of_memory_is_a_sentence_and_halves_help(prepared):
    device = torch.device("cuda")
    batches = dataclasses.replace(batches_of(prepared, Split.TRAIN), batch_size=1000)
    train_step = train_step_of(prepared, device)
    float(next(train_step.steps(batches, batches.in_order(), salt=0)).loss)
    reached = torch.cuda.max_memory_allocated(device)
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(0.6 * reached / torch.cuda.get_device_properties(device).total_memory)
    try:
        with pytest.raises(OutOfMemoryError, match=r"subjects, .* visits .*trainer.micro_batch_size="):
            list(train_step_of(prepared, device).steps(batches, batches.in_order(), salt=0))
        patient = train_step_of(prepared, device, on_oom="halve")
        (step,) = patient.steps(batches, batches.in_order(), salt=0)
        assert np.isfinite(float(step.loss))
        assert patient.micro_batch_size is not None
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
