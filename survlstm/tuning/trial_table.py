"""Assign the attempts in a study's storage to the trials of the search.

A search of n trials has the indices 0 to n - 1. If an attempt dies with its worker, another one follows with the same
index, values and folder, so that a killed search draws the same values as an undisturbed one. These attributes of an
attempt say what it is:

- ``slot``: the index; for a new trial the number of trials opened before it, which no two workers share
- ``retry``: the attempt follows another one
- ``surplus``: it was requested after the last index was taken, and ended at once
- ``token``, ``seen``: the content of its worker's lock file, and the time of its last sign of life
- ``failure``: the message of the error that ended it, which would end it again
- ``handed_back``: its worker was asked to stop
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

# A trial is given up after this many attempts in a row that died without completing a new epoch.
MOST_ATTEMPTS_WITHOUT_PROGRESS = 3
SETTLED = ("complete", "pruned", "failed")


@dataclass(frozen=True)
class TrialSlot:
    """One trial of the search with its attempts, in the order of their start."""

    slot: int
    attempts: tuple[FrozenTrial, ...]

    @property
    def deciding(self) -> FrozenTrial:
        """The attempt that determines the trial's state: a finished one, else a running one, else the last."""
        ranked = sorted(self.attempts, key=lambda attempt: (_rank(attempt), -attempt.number))
        return ranked[0]

    @property
    def state(self) -> str:
        """One of complete, pruned, failed, running, waiting (for a worker), lost (with its worker, to be repeated)."""
        state = trial_state(self.deciding)
        return "failed" if state == "lost" and self._no_progress >= MOST_ATTEMPTS_WITHOUT_PROGRESS else state

    @property
    def params(self) -> dict[str, Any]:
        """The values of the attempt that had drawn the most of them."""
        return max((attempt.params for attempt in self.attempts), key=len)

    @property
    def failure(self) -> str:
        """Why the trial failed; empty if it has not."""
        if self.state != "failed":
            return ""
        return str(
            self.deciding.user_attrs.get("failure", f"its worker was killed {self._no_progress} times without a trace")
        )

    def figure(self, name: str) -> float:
        """Return a figure of the attempt that determines the trial's state.

        Args:
            name: val_nll, val_c_td, best_epoch, epochs or seconds.

        Returns:
            The figure; NaN if it is missing.
        """
        value = self.deciding.user_attrs.get(name)
        return math.nan if value is None else float(value)

    @property
    def _no_progress(self) -> int:
        """Number of attempts in a row that died without completing a new epoch."""
        count, furthest = 0, 0
        for attempt in self.attempts:
            reached = attempt.last_step or 0
            is_barren = (
                trial_state(attempt) == "lost" and reached <= furthest and "handed_back" not in attempt.user_attrs
            )
            count = count + 1 if is_barren else 0
            furthest = max(furthest, reached)
        return count


def trial_slots(trials: Sequence[FrozenTrial]) -> list[TrialSlot]:
    """Group the attempts of a study into the trials that were ever opened.

    Args:
        trials: All attempts in the storage, in the order of their numbers.

    Returns:
        The trials by index; surplus attempts are left out.
    """
    attempts: dict[int, list[FrozenTrial]] = {}
    for trial in trials:
        if "surplus" not in trial.user_attrs:
            attempts.setdefault(slot_index(trial, trials), []).append(trial)
    return [TrialSlot(slot, tuple(attempts[slot])) for slot in sorted(attempts)]


def slot_index(trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> int:
    """Return the index of the trial that an attempt belongs to.

    Args:
        trial: The attempt.
        trials: All attempts in the storage.

    Returns:
        The index that its worker has written, else the number of indices that earlier attempts have opened.
    """
    if "slot" in trial.user_attrs:
        return int(trial.user_attrs["slot"])
    return sum(opened_slot(other) for other in trials if other.number < trial.number)


def opened_slot(trial: FrozenTrial) -> bool:
    """Return whether the attempt opened a new index.

    Args:
        trial: The attempt.

    Returns:
        False for an attempt that follows another one with the same index, and for a surplus one.
    """
    return "retry" not in trial.user_attrs and "surplus" not in trial.user_attrs


def trial_state(attempt: FrozenTrial) -> str:
    """Return the state of one attempt, as ``TrialSlot.state``.

    Args:
        attempt: The attempt.

    Returns:
        complete, pruned, running or waiting; failed if an error ended it, lost if it ended otherwise.
    """
    if attempt.state == TrialState.FAIL:
        return "failed" if "failure" in attempt.user_attrs else "lost"
    return attempt.state.name.lower()


def _rank(attempt: FrozenTrial) -> int:
    state = trial_state(attempt)
    return 0 if state in SETTLED else 1 if state == "running" else 2 if state == "waiting" else 3


def best_slot(found: Sequence[TrialSlot], metric: str, *, maximised: bool) -> TrialSlot | None:
    """Return the complete trial with the best metric, the first of equal ones.

    Args:
        found: All trials of the search.
        metric: ``val_nll`` or ``val_c_td``.
        maximised: Whether a higher metric is better.

    Returns:
        The trial; None if none is complete.
    """
    complete = [place for place in found if place.state == "complete"]
    sign = -1 if maximised else 1
    return min(complete, key=lambda place: (sign * place.figure(metric), place.slot), default=None)


def trial_folder(folder: Path, slot: int) -> Path:
    """Return the folder of a trial's runs.

    Args:
        folder: The study's folder.
        slot: Index of the trial, from 0.

    Returns:
        The path, which all attempts of the trial share; it need not exist.
    """
    return folder / "trials" / f"{slot:04d}"
