"""The result of evaluating one run, from which every file and page of its folder is written."""

from __future__ import annotations

from dataclasses import dataclass

from survlstm.data.prepared_data import PreparedData
from survlstm.evaluation.results import EvaluationSummary, StepRow
from survlstm.training.history import History
from survlstm.training.prediction import Predictions


@dataclass(frozen=True)
class EvaluatedRun:
    """A model evaluated on one split, with its data and its training.

    Attributes:
        prepared: Tensors, vocabulary and cohort flow of the data.
        history: Epochs of the training; None where a saved model was evaluated without training.
        predictions: Predictions on the evaluated split.
        reference: Predictions on the reference split, see ``reference_split``; after training it is the validation
            split, whose subjects chose the epoch.
        summary: Metrics of the model and its comparators on the evaluated split.
        validation: Metrics of the model on the validation split; None where nothing was trained.
    """

    prepared: PreparedData
    history: History | None
    predictions: Predictions
    reference: Predictions
    summary: EvaluationSummary
    validation: StepRow | None
