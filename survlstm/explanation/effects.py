"""Effects of codes on the log-odds of the event, for many subjects and by both methods of explanation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64
from torch import nn
from tqdm import tqdm

from survlstm.data.batches import Batches
from survlstm.explanation.gradients import CodeAttribution, average_embedding, integrated_gradients
from survlstm.explanation.model_inputs import model_input
from survlstm.explanation.occlusion import Occlusion, occlude_input

GRADIENTS, OCCLUSION = "integrated gradients", "occlusion"
METHODS = (GRADIENTS, OCCLUSION)


@dataclass(frozen=True)
class Effects:
    """Effect of each code on the prediction for each subject, in log-odds of the event.

    An effect above 0 raises the predicted risk. It is 0 if the subject does not have the code.

    Attributes:
        subject: indices of the explained subjects in ``batches.tensors``; shape (subject,).
        code: indices in the vocabulary of all codes that at least one of the subjects has, ascending; shape (code,).
        present: True if the subject has the code; shape (subject, code).
        integrated_gradients: effects by integrated gradients, summed over the entries of a code; shape (subject, code).
        occlusion: effects by occlusion; shape (subject, code).
        log_odds: predicted log-odds of the event; shape (subject,).
        baseline_log_odds: log-odds of the same record with the average code at every entry; shape (subject,).
        delta: error of the integration, the sum of a subject's attributions minus the difference between ``log_odds``
            and ``baseline_log_odds``; shape (subject,).
    """

    subject: Int64[np.ndarray, " subject"]
    code: Int64[np.ndarray, " code"]
    present: Bool[np.ndarray, "subject code"]
    integrated_gradients: Float[np.ndarray, "subject code"]
    occlusion: Float[np.ndarray, "subject code"]
    log_odds: Float[np.ndarray, " subject"]
    baseline_log_odds: Float[np.ndarray, " subject"]
    delta: Float[np.ndarray, " subject"]

    def by(self, method: str) -> Float[np.ndarray, "subject code"]:
        """Return the effects computed by one method.

        Args:
            method: one of ``METHODS``.

        Returns:
            Effects in log-odds, above 0 if the code raises the risk; shape (subject, code).
        """
        return self.integrated_gradients if method == GRADIENTS else self.occlusion


def compute_effects(
    model: nn.Module,
    batches: Batches,
    subjects: Int64[np.ndarray, " subject"],
    *,
    integration_steps: int,
    progress_label: str,
) -> Effects:
    """Explain the prediction for each subject by integrated gradients and by occlusion.

    The baseline of integrated gradients is the average embedding under ``model`` itself, also if ``model`` is a copy
    with shuffled weights.

    Args:
        model: the model to explain, on the host. It is set to evaluation mode.
        batches: source of the subjects' records, with the feature columns and ``max_visits`` of the training.
        subjects: indices of the subjects in ``batches.tensors``; shape (subject,), at least one.
        integration_steps: number of points on the path of integrated gradients.
        progress_label: label of the progress bar.

    Returns:
        The effects, with one row per subject in the order of ``subjects``.

    Raises:
        ConfigError: captum is not installed.
    """
    baseline = average_embedding(model, batches.tensors)
    explained: list[tuple[Occlusion, CodeAttribution, np.ndarray]] = []
    for subject in tqdm(subjects.tolist(), desc=progress_label, unit="subject", disable=None, leave=False):
        record = model_input(batches, subject)
        occlusion = occlude_input(model, record)
        gradients = integrated_gradients(model, record, baseline=baseline, steps=integration_steps)
        explained.append((occlusion, gradients, attribution_by_code(gradients, record.code.numpy())))
    code = np.unique(np.concatenate([occlusion.code for occlusion, _, _ in explained]))
    shape = (len(subjects), len(code))
    present, by_gradients, by_occlusion = np.zeros(shape, dtype=bool), np.zeros(shape), np.zeros(shape)
    # Both methods list a subject's codes in ascending order, so that one set of columns serves both.
    for row, (occlusion, _, summed) in enumerate(explained):
        columns = np.searchsorted(code, occlusion.code)
        present[row, columns] = True
        by_gradients[row, columns] = summed
        by_occlusion[row, columns] = occlusion.effect
    return Effects(
        subjects,
        code,
        present,
        by_gradients,
        by_occlusion,
        log_odds=np.array([gradients.log_odds for _, gradients, _ in explained]),
        baseline_log_odds=np.array([gradients.baseline_log_odds for _, gradients, _ in explained]),
        delta=np.array([gradients.delta for _, gradients, _ in explained]),
    )


def attribution_by_code(gradients: CodeAttribution, code: Int64[np.ndarray, " entry"]) -> Float[np.ndarray, " code"]:
    """Sum the attributions of a record's entries by code.

    Args:
        gradients: attributions of the record's entries, in log-odds.
        code: index in the vocabulary of each entry's code; shape (entry,).

    Returns:
        The sum for each distinct code of the record, in ascending order of the codes; shape (code,).
    """
    _, code_of_entry = np.unique(code, return_inverse=True)
    return np.bincount(code_of_entry, weights=gradients.attribution)
