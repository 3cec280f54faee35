"""predictions.parquet: what is written is read again, on both clocks."""

import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from survlstm.runs.predictions_table import COLUMNS, read_predictions, write_predictions
from survlstm.training.prediction import Predictions
from survlstm.utils.errors import CheckpointError

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
    assert tuple(frame.columns) == tuple(COLUMNS)
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
    with pytest.raises(CheckpointError, match=r"the columns must be .*'survival': 'double'.*; found \{'subject_id'"):
        read_predictions(path)


def changed(path, column, values):
    table = pq.read_table(path)
    place = table.column_names.index(column)
    pq.write_table(table.set_column(place, column, pa.array(values, type=table.schema.field(column).type)), path)
    return path


@pytest.mark.parametrize(
    ("column", "values", "sentence"),
    [
        ("hazard", [0.1, 7.0, 0.2], "hazards must lie within 0..1; 1 of 3 do not"),
        ("hazard", [0.1, np.nan, 0.2], "1 of 3 do not"),
        ("survival", [0.9, 1.5, np.nan], "survival must lie within 0..1; 2 of 3 do not"),
        ("subject_id", ["bert", None, "dora"], "found 1 empty fields in 3 rows"),
        ("step", [0, 2, 0], "each subject must have steps 0, 1, 2, … and one label"),
        ("step", [-1, 0, 0], "each subject must have steps"),
        ("last_step", [2, 2, 0], "each subject must have steps"),
        ("event", [True, False, True], "one label"),
    ],
)
def test_damaged_predictions_are_refused(written, column, values, sentence):
    path = changed(written([[0.1, 0.5], [0.2, np.nan]], "visit"), column, values)
    with pytest.raises(CheckpointError, match=re.escape(sentence)):
        read_predictions(path)


def test_predictions_without_their_clock_are_refused(written):
    path = written([[0.1, 0.5], [0.2, np.nan]], "visit")
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)
    with pytest.raises(CheckpointError, match="their clock must be visit, landmark or days; found ''"):
        read_predictions(path)


def test_a_torn_file_is_refused(written):
    path = written([[0.1, 0.5], [0.2, np.nan]], "visit")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CheckpointError, match=r"predictions\.parquet must hold .* can't be read .*Judge the run again"):
        read_predictions(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"a finished run must hold nowhere\.parquet; found none in"):
        read_predictions(tmp_path / "nowhere.parquet")


@pytest.mark.parametrize("metadata", [{"survlstm.clock": b"\xff\xfe"}, {"pandas": "{", "survlstm.clock": "visit"}])
def test_metadata_of_others_are_no_obstacle(written, metadata):
    path = written([[0.1, 0.5], [0.2, np.nan]], "visit")
    pq.write_table(pq.read_table(path).replace_schema_metadata(metadata), path)
    if "pandas" in metadata:
        assert read_predictions(path)["step"].tolist() == [0, 1, 0]
    else:
        with pytest.raises(CheckpointError, match="their clock must be visit, landmark or days"):
            read_predictions(path)
