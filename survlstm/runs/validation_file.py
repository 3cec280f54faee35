"""Write and read validation.npz, the hazards of a run's validation subjects.

With it two runs can be compared on the same subjects. The subjects are in the order of their split, without ids; a
digest says whether two files hold the same subjects.
"""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64

from survlstm.training.prediction import Predictions
from survlstm.utils.files import atomic_file

NAME = "validation.npz"


class ValidationPredictions(NamedTuple):
    """Labels and hazards of the validation subjects, on the days clock of their prediction times.

    Attributes:
        digest: Equal for the same subjects in the same order with the same labels on the same clock, at the same times.
        step: Last step at risk of each row.
        event: Whether the event happened in that step.
        hazard: Hazards, shape (row, step); NaN where no step was predicted.
        group: Number of the subject of each row on the days clock; None on the other clocks, where it has one row.
        exposure: Observed share of the step after ``step`` on the days clock; None on the other clocks.
    """

    digest: str
    step: Int64[np.ndarray, " row"]
    event: Bool[np.ndarray, " row"]
    hazard: Float64[np.ndarray, "row step"]
    group: Int64[np.ndarray, " row"] | None = None
    exposure: Float64[np.ndarray, " row"] | None = None

    @property
    def subjects(self) -> int:
        """Number of subjects."""
        return len(self.step) if self.group is None else len(np.unique(self.group))

    @property
    def events(self) -> int:
        """Number of subjects with an event in a row."""
        return int(self.event.sum()) if self.group is None else len(np.unique(self.group[self.event]))


class ValidationRows(NamedTuple):
    """What a row has on the days clock only.

    Attributes:
        time: ``datetime64[s]`` [row], the prediction times, a part of the digest; they are not written.
        exposure: Observed share of the step after the last one at risk.
    """

    time: np.ndarray
    exposure: Float64[np.ndarray, " row"]


def write_validation(
    folder: Path, predictions: Predictions, subject_id: np.ndarray, *, clock: str, rows: ValidationRows | None = None
) -> None:
    """Write the predictions at the best epoch; only their owner can read the file.

    Args:
        folder: The run folder; it must exist.
        predictions: Labels and predictions of the validation subjects, in the order of their split.
        subject_id: Ids of the subjects of all splits, by their row in the tensors, shape (subject,); only their digest
            is written.
        clock: ``visit``, ``landmark`` or ``days``, a part of the digest.
        rows: Times and exposures of the predictions on the days clock; None on the other clocks.
    """
    steps = (~np.isnan(predictions.hazard)).sum(axis=1)
    more: dict[str, Any] = {}
    if rows is not None:
        more = {"group": np.unique(predictions.subject, return_inverse=True)[1], "exposure": rows.exposure}
    with atomic_file(folder / NAME, private=True) as temporary, temporary.open("wb") as stream:
        np.savez(
            stream,
            digest=np.array(_digest(predictions, subject_id, clock, rows)),
            step=predictions.step,
            event=predictions.event,
            steps=steps,
            hazard=predictions.hazard[~np.isnan(predictions.hazard)],
            **more,
        )


def read_validation(folder: Path) -> ValidationPredictions | None:
    """Read the labels and hazards of a run's validation subjects.

    Args:
        folder: The run folder.

    Returns:
        The content, in the order in which it was written; None if the file is missing or damaged.
    """
    try:
        with (folder / NAME).open("rb") as stream, np.load(stream) as arrays:
            steps, hazards = arrays["steps"], arrays["hazard"]
            step, event = arrays["step"], arrays["event"]
            if not (len(step) == len(event) == len(steps) > 0 and steps.sum() == len(hazards)):
                return None
            if not (steps > step).all():
                return None
            hazard = np.full((len(steps), int(steps.max())), np.nan)
            hazard[np.arange(hazard.shape[1]) < steps[:, None]] = hazards
            more = {name: arrays[name] for name in ("group", "exposure") if name in arrays}
            if any(len(values) != len(step) for values in more.values()):
                return None
            return ValidationPredictions(str(arrays["digest"]), step, event, hazard, **more)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None


def _digest(predictions: Predictions, subject_id: np.ndarray, clock: str, rows: ValidationRows | None) -> str:
    digest = hashlib.sha256(clock.encode())
    for name in subject_id[predictions.subject]:
        digest.update(f"\0{name}".encode())
    digest.update(predictions.step.tobytes() + predictions.event.tobytes())
    if rows is not None:
        digest.update(rows.time.tobytes() + rows.exposure.tobytes())
    return digest.hexdigest()
