"""Measure an epoch beside a bare LSTM, the parts of the difference, and peak memory.

The bound is forward and backward of ``nn.LSTM`` alone, over as many visits in ideal batches: every subject of a batch
as long as the next, no padding, the same number of batches. Epoch, parts and bound are timed in turn, so that a machine
that gets slower slows all of them; the ratios are what counts. Options: --device cuda, --rounds 5; the rest are
overrides of ``survlstm train``.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from torch import Tensor, nn

from survlstm.config.conf_dir import conf_dir
from survlstm.config.schema.model import LSTMConfig
from survlstm.config.schema.run import RunConfig
from survlstm.config.validation import validate
from survlstm.data.batches import Batch, Batches
from survlstm.data.factory import build_batches, build_prepared
from survlstm.data.prepared_data import PreparedData
from survlstm.data.split import Split
from survlstm.models.factory import build_model
from survlstm.models.lstm import DiscreteTimeSurvivalLSTM
from survlstm.survival.concordance import concordance_td
from survlstm.survival.loss import nll_per_step
from survlstm.training.device import choose_device
from survlstm.training.factory import build_optimizer
from survlstm.training.initial_hazard import initial_hazard
from survlstm.training.prediction import predict_split
from survlstm.training.seeding import seed_everything
from survlstm.training.telemetry import Telemetry, peak_device_bytes, peak_host_bytes

DEFAULTS = ["data=cohort_1000", "model=lstm_medium", "trainer=a40"]
BOUND, EPOCH = "bound: bare nn.LSTM", "whole epoch"
SECONDS_WATCHED = 10
Stages = dict[str, Callable[[], object]]


def main(words: list[str]) -> None:
    """Print the table and write it as JSON to outputs/bench_train.json."""
    parser = argparse.ArgumentParser(prog="scripts/bench train")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=7)
    options, overrides = parser.parse_known_args(words)
    overrides = [*DEFAULTS, f"trainer.device={options.device}", *overrides]
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = validate(compose("train", overrides=overrides), RunConfig)
    device, taken = choose_device(config.trainer.device)
    seed_everything(config.seed, deterministic=config.trainer.deterministic)
    prepared = build_prepared(config)
    stages, batches = _stages(config, prepared, device)
    seconds = _time_in_turn(stages, device, options.rounds)
    _report(seconds, prepared, batches, taken, _watched(stages[EPOCH], device))


def _stages(config: RunConfig, prepared: PreparedData, device: torch.device) -> tuple[Stages, Batches]:
    batches, val = (build_batches(config, prepared.tensors, part) for part in (Split.TRAIN, Split.VAL))
    model = build_model(
        config.model,
        prepared.preprocessing.sizes,
        mean_hazard=initial_hazard(prepared.tensors),
    )
    assert isinstance(model, DiscreteTimeSurvivalLSTM)
    assert isinstance(config.model, LSTMConfig)
    model = model.to(device).train()
    optimizer = build_optimizer(config.optimizer, model)
    ideal = _ideal_batches(prepared, config, len(batches), device)
    layers, dropout = config.model.num_layers, config.model.dropout
    lstm = nn.LSTM(
        ideal[0].shape[2], config.model.hidden_dim, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0
    ).to(device)
    held = [batches.collate(chosen).to(device) for chosen in batches.in_order()]
    states = [
        torch.randn(batch.inputs.slots, config.model.hidden_dim, device=device, requires_grad=True) for batch in held
    ]

    def each(work: Callable[[Batch, Tensor], None]) -> Callable[[], None]:
        def whole() -> None:
            for batch, of_batch in zip(held, states, strict=True):
                work(batch, of_batch)

        return whole

    def in_bfloat16(stage: Callable[[], object]) -> Callable[[], object]:
        def lower() -> None:
            with torch.autocast(device.type, torch.bfloat16):
                stage()

        return lower

    stages: Stages = {
        BOUND: lambda: _pass(lstm, ideal),
        "the bound in bfloat16": in_bfloat16(lambda: _pass(lstm, ideal)),
        "data: batches": lambda: [batches.collate(chosen) for chosen in batches.in_order()],
        "embedding": lambda: [model.embedding(b.inputs).sum().backward() for b in held],
        "head and loss": each(lambda batch, states: _head(model, states, batch)),
        "model, loss, backward": each(lambda batch, _: _learn(model, batch)),
        "clipping and optimizer": each(lambda *_: _update(model, optimizer)),
        EPOCH: lambda: _epoch(model, batches, optimizer, device),
        "whole epoch in bfloat16": in_bfloat16(lambda: _epoch(model, batches, optimizer, device)),
        "validation: hazards and c_td": lambda: _validate(model, val, device),
    }
    return stages, batches


def _ideal_batches(prepared: PreparedData, config: RunConfig, count: int, device: torch.device) -> list[Tensor]:
    visits = prepared.tensors.trained_visits[prepared.tensors.members(Split.TRAIN)]
    assert isinstance(config.model, LSTMConfig)
    features = len(config.model.visit_features) + prepared.preprocessing.value_columns
    width = config.model.embedding_dim + features
    subjects = -(-len(visits) // count)
    length = round(visits.sum() / (count * subjects))
    return [torch.randn(subjects, length, width, device=device, requires_grad=True) for _ in range(count)]


def _pass(lstm: nn.LSTM, ideal: list[Tensor]) -> None:
    for visits in ideal:
        states, _ = lstm(visits)
        states.sum().backward()


def _head(model: DiscreteTimeSurvivalLSTM, states: Tensor, batch: Batch) -> None:
    hidden, relu, dropout, logit = model.head
    inputs, key = batch.inputs, batch.inputs.dropout_key
    if model.intervals is not None:
        last = inputs.last_slot
        states, key = inputs.with_prediction_features(states[last]), None if key is None else key[last]
    logits = logit(dropout(relu(hidden(states)), key))
    logits = logits.squeeze(1) if model.intervals is None else logits
    _nll(logits, batch).backward()


def _learn(model: nn.Module, batch: Batch) -> None:
    model.train()
    logits = model(batch.inputs).float()
    (_nll(logits, batch) / batch.subjects).backward()


def _nll(logits: Tensor, batch: Batch) -> Tensor:
    nll = nll_per_step(logits, at_risk=batch.at_risk, event=batch.event)
    return (nll if batch.weight is None else nll * batch.weight).sum()


def _update(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()


def _epoch(model: nn.Module, batches: Batches, optimizer: torch.optim.Optimizer, device: torch.device) -> None:
    for chosen in batches.shuffled(seed=0, epoch=1):
        model.zero_grad(set_to_none=True)
        _learn(model, batches.collate(chosen, salt=1).to(device))
        _update(model, optimizer)


def _validate(model: nn.Module, val: Batches, device: torch.device) -> None:
    found = predict_split(model, val, device)
    concordance_td(found.survival, step=found.step, event=found.event)


def _time_in_turn(stages: Stages, device: torch.device, rounds: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in stages}
    for turn in range(rounds + 1):
        for name, stage in stages.items():
            started = time.perf_counter()
            stage()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if turn:  # the first turn warms up
                seconds[name].append(time.perf_counter() - started)
    return seconds


def _watched(epoch: Callable[[], object], device: torch.device) -> str:
    """Peak memory, and on CUDA how busy the device is through some seconds of epochs."""
    peak = f"peak memory of the process {peak_host_bytes() / 2**20:,.0f} MiB"
    if device.type != "cuda":
        return peak
    telemetry, ends = Telemetry(device), time.perf_counter() + SECONDS_WATCHED
    with telemetry.sampling():
        while time.perf_counter() < ends:
            epoch()
    busy = f"{telemetry.busy:.0%}" if telemetry.busy is not None else f"unknown ({telemetry.unknown})"
    on_device = (peak_device_bytes(device) or 0) / 2**20
    return f"{peak}, on the device {on_device:,.0f} MiB; device busy {busy}"


def _report(
    seconds: dict[str, list[float]], prepared: PreparedData, batches: Batches, taken: str, watched: str
) -> None:
    subjects = len(batches.members)
    lengths = batches.visits(batches.members)
    slots = sum(batches.collate(chosen).inputs.slots for chosen in batches.in_order())
    bound = seconds[BOUND]
    rows = [
        {
            "stage": name,
            "seconds": statistics.median(times),
            "subjects_per_second": subjects / statistics.median(times),
            "of_bound": statistics.median(b / s for b, s in zip(bound, times, strict=True)),
        }
        for name, times in seconds.items()
    ]
    print(f"device {taken}; torch {torch.__version__}")
    print(f"{subjects} subjects, {lengths.sum():,} visits in {len(batches)} batches, {slots:,} slots with padding")
    print(f"{'':32}{'seconds':>9}{'subjects/s':>12}{'bound/this':>12}")
    for row in rows:
        print(f"{row['stage']:32}{row['seconds']:9.4f}{row['subjects_per_second']:12.0f}{row['of_bound']:12.2f}")
    print(watched)
    target = Path("outputs/bench_train.json")
    target.parent.mkdir(exist_ok=True)
    written = {
        "device": taken,
        "torch": torch.__version__,
        "load": os.getloadavg()[0],
        "watched": watched,
        "rows": rows,
    }
    target.write_text(json.dumps(written, indent=2) + "\n")
    print(f"written to {target}")


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    main(sys.argv[1:])
