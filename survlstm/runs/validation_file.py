"""Write and read validation.npz, the hazards of a run's validation subjects.

With it two runs can be compared on the same subjects. The subjects are in the order of their split, without ids; a
digest says whether two files hold the same subjects.
"""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64

from survlstm.training.prediction import Predictions
from survlstm.utils.files import atomic_file

NAME = "validation.npz"


class ValidationPredictions(NamedTuple):
    """Labels and hazards of the validation subjects.

    Attributes:
        digest: Equal for the same subjects in the same order with the same labels on the same clock.
        step: Last step at risk of each subject.
        event: Whether the event happened in that step.
        hazard: Hazards, shape (subject, step); NaN where no step was predicted.
    """

    digest: str
    step: Int64[np.ndarray, " subject"]
    event: Bool[np.ndarray, " subject"]
    hazard: Float64[np.ndarray, "subject step"]


def write_validation(folder: Path, predictions: Predictions, subject_id: np.ndarray, *, clock: str) -> None:
    """Write the predictions at the best epoch; only their owner can read the file.

    Args:
        folder: The run folder; it must exist.
        predictions: Labels and predictions of the validation subjects, in the order of their split.
        subject_id: Ids of the subjects of all splits, by their row in the tensors, shape (subject,); only their digest
            is written.
        clock: ``visit`` or ``landmark``, a part of the digest.
    """
    steps = (~np.isnan(predictions.hazard)).sum(axis=1)
    with atomic_file(folder / NAME, private=True) as temporary, temporary.open("wb") as stream:
        np.savez(
            stream,
            digest=np.array(_digest(predictions, subject_id, clock)),
            step=predictions.step,
            event=predictions.event,
            steps=steps,
            hazard=predictions.hazard[~np.isnan(predictions.hazard)],
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
            return ValidationPredictions(str(arrays["digest"]), step, event, hazard)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None


def _digest(predictions: Predictions, subject_id: np.ndarray, clock: str) -> str:
    digest = hashlib.sha256(clock.encode())
    for name in subject_id[predictions.subject]:
        digest.update(f"\0{name}".encode())
    digest.update(predictions.step.tobytes() + predictions.event.tobytes())
    return digest.hexdigest()
