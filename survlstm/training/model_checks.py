"""Checks of a model of the user's own before it is trained: its logits have the right shape, and none knows the future.

A trained model is checked again by ``survlstm.evaluation.sanity_checks``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from survlstm.data.batches import Batches
from survlstm.data.external_cohort import select_subjects
from survlstm.data.tensors import Tensors
from survlstm.training.out_of_memory import is_out_of_memory
from survlstm.utils.errors import ConfigError, first_line
from survlstm.utils.ragged import flat_positions

# Subjects of the checked batch, spread from the shortest to the longest record.
SUBJECTS = 8
# Largest difference of two logits that counts as rounding, relative to 1 + |logit|.
ROUNDING = 1e-4
# Standard deviation of the noise on the weights, which makes a leak visible behind weights that start at 0.
NOISE = 0.1
MASK = "Padding changes with them: leave it out by inputs.is_visit, or read the visits in one direction"
ADVICE = (
    "Read the visits in one direction, or use clock=landmark with model.whole_record=true if the model is meant to see "
    "the whole record"
)


def check_model(model: nn.Module, batches: Batches, device: torch.device, *, vocabulary_size: int) -> None:
    """Check that a model fulfils ``survlstm.models.protocol.SurvivalModel`` on some subjects.

    The logits of a batch are compared with those of the same batch in which something was changed that must not matter.
    On the visit clock these are the later visits, changed and then removed: a hazard that moves knows the future. On
    the days clock they are the visits after the prediction times in the first half of each record. On every clock each
    subject alone must have the logits that it has among others, so that padding and neighbours do not matter.

    The comparison uses evaluation mode and weights with noise; the weights of the model are restored.

    Args:
        model: The model, on ``device``.
        batches: The training subjects.
        device: Where the logits are computed.
        vocabulary_size: Number of codes.

    Raises:
        ConfigError: The model raises an error, returns another shape, values that are not finite, or logits that depend
            on later visits or on other subjects.
    """
    members = batches.members[np.argsort(batches.visits(batches.members), kind="stable")]
    chosen = members[np.unique(np.linspace(0, len(members) - 1, SUBJECTS).astype(np.int64))]
    some = _of(batches, select_subjects(batches.tensors, chosen))
    with _noisy_weights(model), torch.no_grad():
        whole = _logits(model, some, device)
        if some.tensors.clock != "landmark":
            _check_causal(model, some, whole, device, vocabulary_size)
        alone = [_logits(model, replace(some, members=some.members[[row]]), device)[0] for row in range(len(chosen))]
        _compare(model, whole, alone, "depend on one subject only", f"the others were removed from the batch. {MASK}")


def _check_causal(
    model: nn.Module, some: Batches, whole: list[Tensor], device: torch.device, vocabulary_size: int
) -> None:
    """Check that the hazards of the first half of each record stay if the second half is changed, or removed."""
    seen, kept = _first_half(some)
    for other, what in (
        (_changed_later_visits(some.tensors, seen, vocabulary_size), "only later visits were changed"),
        (select_subjects(some.tensors, some.members, visits=seen), "the later visits were removed"),
    ):
        changed = _logits(model, _of(some, other), device)
        pairs = zip(whole, changed, kept, strict=True)
        before, after = zip(*((one[:number], two[:number]) for one, two, number in pairs), strict=True)
        _compare(model, before, after, "not depend on later visits", f"{what}. {ADVICE}")


def _first_half(some: Batches) -> tuple[Int64[np.ndarray, " subject"], Int64[np.ndarray, " subject"]]:
    """Return for each subject the visits of the first half of its record, and the number of hazards that see no other.

    On the days clock it is the first half of the prediction times, and the visits that the last of them sees.
    """
    data = some.tensors
    if data.clock != "days":
        seen = np.maximum(some.visits(some.members) // 2, 1)
        return seen, seen
    half = (data.trained_rows[some.members] + 1) // 2
    first = data.row_offsets[some.members]
    seen = data.row_visits[first + half - 1]
    rows = some.rows(some.members)
    # Further prediction times may see the same visits.
    owner = np.repeat(np.arange(len(some.members)), data.trained_rows[some.members])
    return seen, np.bincount(owner[data.row_visits[rows] <= seen[owner]], minlength=len(some.members))


def _of(batches: Batches, tensors: Tensors) -> Batches:
    """Return the batches of all subjects of other tensors; their labels are not used."""
    last = np.minimum(tensors.step, tensors.visits_per_subject - 1) if tensors.clock == "visit" else tensors.step
    return replace(batches, tensors=replace(tensors, step=last), members=np.arange(len(tensors.subject_id)))


def _changed_later_visits(tensors: Tensors, seen: Int64[np.ndarray, " subject"], vocabulary_size: int) -> Tensors:
    """Give the visits after the first ``seen`` ones of each subject other codes, other features and later times."""
    generator = np.random.default_rng(0)
    first, later = tensors.visit_offsets[:-1] + seen, tensors.visits_per_subject - seen
    visit = flat_positions(first, later)
    code, features, time = tensors.code.copy(), tensors.features.copy(), tensors.visit_time.copy()
    entry = flat_positions(tensors.code_offsets[visit], np.diff(tensors.code_offsets)[visit])
    code[entry] = generator.integers(1, vocabulary_size, len(entry))
    features[visit] += generator.normal(size=features[visit].shape).astype(np.float32)
    time[visit] += np.timedelta64(1000, "D")
    return replace(tensors, code=code, features=features, visit_time=time)


def _logits(model: nn.Module, batches: Batches, device: torch.device) -> list[Float[Tensor, "*logit"]]:
    """Return the logits of each subject: one per visit on the visit clock, one per interval on the landmark clock.

    On the days clock they are one per prediction time and interval.
    """
    batch = batches.collate(batches.members)
    name = type(model).__name__
    try:
        logits = model(batch.inputs.to(device))
    # Somebody else's code may raise anything.
    except Exception as error:
        if isinstance(error, RuntimeError | MemoryError) and is_out_of_memory(error):
            raise
        raise ConfigError(
            f"model must read a batch of {len(batches.members)} subjects; {name} raised "
            f"{first_line(error, with_type=True, at_most=300)}"
        ) from error
    expected = tuple(batch.at_risk.shape)
    if not isinstance(logits, Tensor) or tuple(logits.shape) != expected or not logits.is_floating_point():
        found = f"{tuple(logits.shape)} {logits.dtype}" if isinstance(logits, Tensor) else type(logits).__name__
        axes = {
            "visit": "[slot], such as inputs.flatten of padded logits",
            "landmark": "[row, interval]",
            "days": "[prediction, interval], from the states at inputs.last_slot",
        }[batches.tensors.clock]
        raise ConfigError(f"model must return logits of shape {expected}, {axes}; {name} returned {found}")
    logits = logits.double().cpu()
    if batches.tensors.clock == "landmark":
        rows = list(logits)
    elif batches.tensors.clock == "days":
        rows = list(logits.split(batches.tensors.trained_rows[batches.members].tolist()))
    else:
        # The counted visits of all windows of a subject are its visits in order.
        counted = logits[batch.inputs.slot][batch.at_risk[batch.inputs.slot]]
        rows = list(counted.split((batches.tensors.step[batches.members] + 1).tolist()))
    if not all(bool(row.isfinite().all()) for row in rows):
        raise ConfigError(f"model must return finite logits; {name} returned NaN or infinite values before training")
    return rows


def _compare(
    model: nn.Module,
    before: list[Tensor] | tuple[Tensor, ...],
    after: list[Tensor] | tuple[Tensor, ...],
    rule: str,
    change: str,
) -> None:
    one, other = (torch.cat([part.flatten() for part in parts]) for parts in (before, after))
    moved = (one - other).abs() > ROUNDING * (1 + one.abs())
    if bool(moved.any()):
        largest = float((one.sigmoid() - other.sigmoid()).abs().max())
        raise ConfigError(
            f"the hazards of a model must {rule}; {int(moved.sum())} of {len(one)} hazards of {type(model).__name__} "
            f"moved, by up to {largest:.2g}, when {change}"
        )


@contextmanager
def _noisy_weights(model: nn.Module) -> Iterator[None]:
    """Add noise to the weights and set evaluation mode; both are undone at the end of the block."""
    was_training = model.training
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator) * NOISE
            parameter.add_(noise.to(parameter.device, parameter.dtype))
    model.eval()
    try:
        yield
    finally:
        model.load_state_dict(kept)
        model.train(was_training)
