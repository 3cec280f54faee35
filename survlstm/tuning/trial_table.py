"""The trials in a study's storage → places of the search, each with the attempts made at it.

A search of n trials has the places 0 to n - 1. An attempt that its worker's death ended is followed by another one at
the same place, with the same values and in the same folder; so a killed search asks for the same values as an
undisturbed one. What a place is, is read from these attributes of its attempts:

- ``slot``: the place; of a fresh attempt it is how many fresh ones were asked for before, which no two workers share
- ``retry``: this attempt follows another
- ``surplus``: asked for when the last place was taken; ended at once
- ``token``, ``seen``: what its worker's lock file holds, and when it last showed itself
- ``failure``: the sentence of the error that ended it, which would end it again
- ``handed_back``: its worker was told to stop
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

# An attempt that kills its worker before another epoch has ended will not do better the fourth time.
MOST_BARREN = 3
SETTLED = ("complete", "pruned", "failed")


@dataclass(frozen=True)
class TrialSlot:
    """One of the search's trials: its attempts, in the order of their beginning."""

    slot: int
    attempts: tuple[FrozenTrial, ...]

    @property
    def deciding(self) -> FrozenTrial:
        """The attempt that says what has become of the place: a settled one, else one under way, else the last."""
        ranked = sorted(self.attempts, key=lambda attempt: (_rank(attempt), -attempt.number))
        return ranked[0]

    @property
    def state(self) -> str:
        """complete, pruned, failed, running, waiting (for a worker), or lost (with its worker, to be tried again)."""
        state = trial_state(self.deciding)
        return "failed" if state == "lost" and self._barren >= MOST_BARREN else state

    @property
    def params(self) -> dict[str, Any]:
        """Its values: of the attempt that had drawn the most before it ended."""
        return max((attempt.params for attempt in self.attempts), key=len)

    @property
    def failure(self) -> str:
        """Why it failed; empty where it has not."""
        if self.state != "failed":
            return ""
        return str(
            self.deciding.user_attrs.get("failure", f"its worker was killed {self._barren} times without a trace")
        )

    def figure(self, name: str) -> float:
        """val_nll, val_c_td, best_epoch, epochs or seconds; nan where there is none."""
        value = self.deciding.user_attrs.get(name)
        return math.nan if value is None else float(value)

    @property
    def _barren(self) -> int:
        """How many attempts in a row have died without an epoch more than was known before."""
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
    """Every place that was ever taken, by number."""
    attempts: dict[int, list[FrozenTrial]] = {}
    for trial in trials:
        if "surplus" not in trial.user_attrs:
            attempts.setdefault(slot_index(trial, trials), []).append(trial)
    return [TrialSlot(slot, tuple(attempts[slot])) for slot in sorted(attempts)]


def slot_index(trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> int:
    """The place of an attempt; one whose worker has not come to write it down is counted out."""
    if "slot" in trial.user_attrs:
        return int(trial.user_attrs["slot"])
    return sum(opened_slot(other) for other in trials if other.number < trial.number)


def opened_slot(trial: FrozenTrial) -> bool:
    """Whether it took a place of its own."""
    return "retry" not in trial.user_attrs and "surplus" not in trial.user_attrs


def trial_state(attempt: FrozenTrial) -> str:
    """As ``TrialSlot.state``, of one attempt."""
    if attempt.state == TrialState.FAIL:
        return "failed" if "failure" in attempt.user_attrs else "lost"
    return attempt.state.name.lower()


def _rank(attempt: FrozenTrial) -> int:
    state = trial_state(attempt)
    return 0 if state in SETTLED else 1 if state == "running" else 2 if state == "waiting" else 3


def best_slot(found: Sequence[TrialSlot], metric: str, *, maximised: bool) -> TrialSlot | None:
    """The complete place with the best metric, the first of equals; None where none is complete."""
    complete = [place for place in found if place.state == "complete"]
    sign = -1 if maximised else 1
    return min(complete, key=lambda place: (sign * place.figure(metric), place.slot), default=None)


def trial_folder(folder: Path, slot: int) -> Path:
    """Where the runs of a place stand."""
    return folder / "trials" / f"{slot:04d}"
