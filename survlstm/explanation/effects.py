"""A model and many subjects → what each code does to each subject's log-odds, by both methods."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64
from tqdm import tqdm

from survlstm.data.batches import Batches
from survlstm.explanation.gradients import CodeAttribution, average_embedding, integrated_gradients
from survlstm.explanation.model_inputs import model_input
from survlstm.explanation.occlusion import Occlusion, occlude_input
from survlstm.models.lstm import DiscreteTimeSurvivalLSTM

GRADIENTS, OCCLUSION = "integrated gradients", "occlusion"
METHODS = (GRADIENTS, OCCLUSION)


@dataclass(frozen=True)
class Effects:
    """Per subject and code, in log-odds of the event: above 0 the code raises the risk, where it is absent 0.

    ``code`` are the numbers in the vocabulary of the codes that any of the subjects has, in order. ``delta`` is by how
    much a subject's gradients, integrated, miss the difference between its log-odds and those of the baseline.
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
        """The effects that one of ``METHODS`` found."""
        return self.integrated_gradients if method == GRADIENTS else self.occlusion


def compute_effects(
    model: DiscreteTimeSurvivalLSTM,
    batches: Batches,
    subjects: Int64[np.ndarray, " subject"],
    *,
    integration_steps: int,
    what: str,
) -> Effects:
    """Explain each of the subjects, numbers in ``batches.tensors``; ``what`` names the work beside the progress bar.

    The average embedding, from which integrated gradients start, is that of ``model`` itself.
    """
    baseline = average_embedding(model, batches.tensors)
    found: list[tuple[Occlusion, CodeAttribution, np.ndarray]] = []
    for subject in tqdm(subjects.tolist(), desc=what, unit="subject", disable=None, leave=False):
        record = model_input(batches, subject)
        left_out = occlude_input(model, record)
        gradients = integrated_gradients(model, record, baseline=baseline, steps=integration_steps)
        found.append((left_out, gradients, attribution_by_code(gradients, record.code.numpy())))
    code = np.unique(np.concatenate([left_out.code for left_out, _, _ in found]))
    shape = (len(subjects), len(code))
    present, by_gradients, by_occlusion = np.zeros(shape, dtype=bool), np.zeros(shape), np.zeros(shape)
    for row, (left_out, _, summed) in enumerate(found):
        columns = np.searchsorted(code, left_out.code)
        present[row, columns] = True
        by_gradients[row, columns] = summed
        by_occlusion[row, columns] = left_out.effect
    return Effects(
        subjects,
        code,
        present,
        by_gradients,
        by_occlusion,
        log_odds=np.array([gradients.log_odds for _, gradients, _ in found]),
        baseline_log_odds=np.array([gradients.baseline_log_odds for _, gradients, _ in found]),
        delta=np.array([gradients.delta for _, gradients, _ in found]),
    )


def attribution_by_code(gradients: CodeAttribution, code: Int64[np.ndarray, " entry"]) -> Float[np.ndarray, " code"]:
    """The attribution of each distinct code of a record, in the order of their numbers."""
    _, place = np.unique(code, return_inverse=True)
    return np.bincount(place, weights=gradients.attribution)
