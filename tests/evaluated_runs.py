"""An evaluated run without predictions, for tests of what is derived from its other values."""

import numpy as np

from survlstm.data.features import FEATURES
from survlstm.data.prepared_data import PreparedData
from survlstm.data.preprocessing_state import PreprocessingState
from survlstm.evaluation.evaluated_run import EvaluatedRun
from survlstm.training.prediction import Predictions

NO_PREDICTIONS = Predictions(
    subject=np.zeros(0, dtype=np.int64),
    step=np.zeros(0, dtype=np.int64),
    event=np.zeros(0, dtype=bool),
    hazard=np.zeros((0, 0)),
    survival=np.zeros((0, 0)),
    nll=np.zeros(0),
)


def evaluated_run(summary, *, history, flow, tensors, vocabulary):
    """The run with this summary, history and data."""
    preprocessing = PreprocessingState(vocabulary, np.zeros(len(FEATURES)), np.ones(len(FEATURES)), tensors.edge_days)
    prepared = PreparedData(tensors, preprocessing, flow, "a fingerprint")
    return EvaluatedRun(prepared, history, NO_PREDICTIONS, NO_PREDICTIONS, summary, None)
