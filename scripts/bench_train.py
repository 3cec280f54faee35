"""A prepared cohort → subjects per second of an epoch, beside the bound of a bare LSTM, and where the rest goes.

The bound is forward and backward of ``nn.LSTM`` alone, over as many visits in ideal batches: every subject of a batch
as long as the next, no padding, the same number of batches. Epoch and bound are timed in turn, so that a machine that
gets slower slows both; the ratio is what counts.
"""

from __future__ import annotations

import json
import logging
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from torch import Tensor, nn

from survlstm.build import build_batches, build_model, build_optimizer, build_prepared
from survlstm.config import RunConfig, conf_dir
from survlstm.data.batches import Batches
from survlstm.data.prepare import Prepared
from survlstm.data.split import Split
from survlstm.survival.loss import nll_per_subject
from survlstm.training.device import choose_device
from survlstm.training.seeding import seed_everything
from survlstm.training.starting_hazard import starting_hazard
from survlstm.validation import validate

DEFAULTS = ["data=cohort_1000", "model=lstm_medium", "trainer=a40"]
ROUNDS = 5


def main(overrides: list[str]) -> None:
    """Print the table and write it as JSON to outputs/bench_train.json."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = validate(compose("train", overrides=[*DEFAULTS, *overrides]), RunConfig)
    device, taken = choose_device(config.trainer.device)
    generator = seed_everything(config.seed, deterministic=config.trainer.deterministic)
    prepared = build_prepared(config)
    batches = build_batches(config, prepared.tensors, Split.TRAIN)
    model = build_model(
        config.model,
        vocabulary_size=len(prepared.vocabulary),
        intervals=prepared.fitted.intervals,
        mean_hazard=starting_hazard(prepared.tensors),
    )
    model = model.to(device).train()
    optimizer = build_optimizer(config.optimizer, model)
    ideal = _ideal_batches(prepared, config, len(batches), device)
    lstm = nn.LSTM(
        ideal[0].shape[2],
        config.model.hidden_dim,
        config.model.num_layers,
        batch_first=True,
        dropout=config.model.dropout if config.model.num_layers > 1 else 0.0,
    ).to(device)

    stages: dict[str, Callable[[], object]] = {
        "bound: bare nn.LSTM": lambda: _pass(lstm, ideal),
        "batches": lambda: [None for _ in batches.shuffled(generator)],
        "batches, model, loss, backward": lambda: _epoch(model, batches, generator, device, None),
        "whole epoch": lambda: _epoch(model, batches, generator, device, optimizer),
    }
    seconds = _time_in_turn(stages, device)
    _report(seconds, prepared, batches, taken)


def _ideal_batches(prepared: Prepared, config: RunConfig, count: int, device: torch.device) -> list[Tensor]:
    steps = prepared.tensors.step[prepared.tensors.members(Split.TRAIN)] + 1
    width = config.model.embedding_dim + len(config.model.visit_features)
    subjects = -(-len(steps) // count)
    length = round(steps.sum() / (count * subjects))
    return [torch.randn(subjects, length, width, device=device, requires_grad=True) for _ in range(count)]


def _pass(lstm: nn.LSTM, ideal: list[Tensor]) -> None:
    for visits in ideal:
        states, _ = lstm(visits)
        states.sum().backward()


def _epoch(
    model: nn.Module,
    batches: Batches,
    generator: np.random.Generator,
    device: torch.device,
    optimizer: torch.optim.Optimizer | None,
) -> None:
    for on_host in batches.shuffled(generator):
        batch = on_host.to(device)
        model.zero_grad(set_to_none=True)
        nll = nll_per_subject(model(*batch.inputs), at_risk=batch.at_risk, event=batch.event)
        (nll.sum() / batch.subjects).backward()
        if optimizer is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()


def _time_in_turn(stages: dict[str, Callable[[], object]], device: torch.device) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in stages}
    for turn in range(ROUNDS + 1):
        for name, stage in stages.items():
            started = time.perf_counter()
            stage()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if turn:  # the first turn warms up
                seconds[name].append(time.perf_counter() - started)
    return seconds


def _report(seconds: dict[str, list[float]], prepared: Prepared, batches: Batches, taken: str) -> None:
    subjects = len(batches.members)
    lengths = prepared.tensors.step[batches.members] + 1
    padded = sum(batch.rows * batch.length for _, batch in batches.in_order())
    bound = seconds["bound: bare nn.LSTM"]
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
    print(f"{subjects} subjects, {lengths.sum():,} visits in {len(batches)} batches, {padded:,} positions with padding")
    print(f"{'':34}{'seconds':>9}{'subjects/s':>12}{'bound/this':>12}")
    for row in rows:
        print(f"{row['stage']:34}{row['seconds']:9.3f}{row['subjects_per_second']:12.0f}{row['of_bound']:12.2f}")
    target = Path("outputs/bench_train.json")
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps({"device": taken, "torch": torch.__version__, "rows": rows}, indent=2) + "\n")
    print(f"written to {target}")


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    main(sys.argv[1:])
