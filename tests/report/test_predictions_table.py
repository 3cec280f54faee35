"""predictions.parquet: what is written is read again, on both clocks."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from survlstm.errors import CheckpointError
from survlstm.report.predictions_table import COLUMNS, read_predictions, write_predictions
from survlstm.training.prediction import Predictions

SUBJECT_ID = np.array(["anna", "bert", "carl", "dora"])


def predictions(hazard):
    """Of bert, whose event is in step 1, and of dora, censored in step 0."""
    survival = np.cumprod(1 - hazard, axis=1)
    return Predictions(np.array([1, 3]), np.array([1, 0]), np.array([True, False]), hazard, survival, np.zeros(2))


@pytest.fixture
def written(tmp_path):
    def write(hazard, clock):
        path = tmp_path / "predictions.parquet"
        write_predictions(path, predictions(np.array(hazard)), SUBJECT_ID, split="test", clock=clock)
        return path

    return write


def test_on_the_visit_clock_a_subject_has_rows_up_to_its_last_at_risk_step(written):
    frame = read_predictions(written([[0.1, 0.5], [0.2, np.nan]], "visit"))
    assert tuple(frame.columns) == COLUMNS
    assert frame.attrs["clock"] == "visit"
    assert frame["subject_id"].tolist() == ["bert", "bert", "dora"]
    assert frame["step"].tolist() == [0, 1, 0]
    assert frame["hazard"].tolist() == [0.1, 0.5, 0.2]
    assert frame["survival"].tolist() == pytest.approx([0.9, 0.45, 0.8])
    assert frame["last_step"].tolist() == [1, 1, 0]
    assert frame["event"].tolist() == [True, True, False]
    assert set(frame["split"]) == {"test"}


def test_on_the_landmark_clock_a_subject_has_a_row_for_every_interval(written):
    frame = read_predictions(written([[0.1, 0.5, 0.3], [0.2, 0.2, 0.0]], "landmark"))
    assert frame.attrs["clock"] == "landmark"
    assert frame["step"].tolist() == [0, 1, 2, 0, 1, 2]
    assert frame["hazard"].tolist() == [0.1, 0.5, 0.3, 0.2, 0.2, 0.0]
    assert frame["last_step"].tolist() == [1, 1, 1, 0, 0, 0]


def test_another_table_is_refused(written):
    path = written([[0.1, 0.5], [0.2, np.nan]], "visit")
    pq.write_table(pq.read_table(path).drop_columns(["survival"]), path)
    with pytest.raises(CheckpointError, match=r"must have the columns subject_id, .*; found \['subject_id', 'split', "):
        read_predictions(path)


def test_a_torn_file_is_refused(written):
    path = written([[0.1, 0.5], [0.2, np.nan]], "visit")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CheckpointError, match=r"predictions\.parquet must hold .* can't be read .*Train again"):
        read_predictions(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"nowhere\.parquet must hold the predictions of a finished run"):
        read_predictions(tmp_path / "nowhere.parquet")
