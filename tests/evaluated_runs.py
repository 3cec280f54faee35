"""An evaluated run without predictions, for tests of what is derived from its other values."""

import numpy as np

from survlstm.data.prepared_data import PreparedData
from survlstm.evaluation.evaluated_run import EvaluatedRun
from survlstm.training.prediction import Predictions
from tests.prepared import unscaled_state

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
    preprocessing = unscaled_state(vocabulary.entries, edges=tensors.edge_days)
    prepared = PreparedData(tensors, preprocessing, flow, "a fingerprint")
    return EvaluatedRun(prepared, history, NO_PREDICTIONS, NO_PREDICTIONS, summary, None)
