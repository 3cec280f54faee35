"""Files of the predictions on the days clock: written, read, refused, and compared between runs."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from survlstm.data.split import Split
from survlstm.evaluation.bootstrap import Bootstrap
from survlstm.evaluation.comparators import Comparator
from survlstm.evaluation.comparison import compare
from survlstm.evaluation.step_metrics import evaluate_steps, nll_by_subject
from survlstm.runs.days_predictions import COLUMNS, matrix_of
from survlstm.runs.predictions_table import read_predictions, write_days_predictions
from survlstm.runs.validation_file import ValidationRows, read_validation, write_validation
from survlstm.sweeps.ties import _difference
from survlstm.training.prediction import Predictions
from survlstm.utils.errors import CheckpointError, OutcomeError
from tests.days import prepared_days

BOOTSTRAP = Bootstrap(resamples=40, confidence=0.95, min_events=2, seed=0)


def tensors_of():
    return prepared_days("every_visit", evaluated=("day:90",)).tensors


def predicted(tensors, *, seed=0, kind=None, part=Split.TEST):
    rows = tensors.rows_of(tensors.members(part), kind=kind)
    hazard = np.random.default_rng(seed).uniform(0.01, 0.4, (len(tensors.step), tensors.steps))[rows]
    step, event = tensors.step[rows], tensors.event[rows]
    nll = nll_by_subject(hazard, step, event, tensors.exposure[rows])
    return Predictions(tensors.row_subject[rows], step, event, hazard, np.cumprod(1 - hazard, axis=1), nll, rows)


@pytest.fixture
def written(tmp_path):
    def write(name="predictions", *, seed=0, tensors=None):
        tensors = tensors_of() if tensors is None else tensors
        path = tmp_path / f"{name}.parquet"
        write_days_predictions(path, predicted(tensors, seed=seed), tensors, split="test", rules=["day:90"])
        return path

    return write


def test_a_row_is_a_subject_at_a_prediction_time(written):
    tensors, frame = tensors_of(), read_predictions(written())
    found = predicted(tensors)
    assert tuple(frame.columns) == tuple(COLUMNS)
    assert frame.attrs == {"clock": "days", "edge_days": tensors.edge_days.tolist()}
    assert frame["subject_id"].tolist() == tensors.subject_id[found.subject].tolist()
    assert np.array_equal(frame["prediction_time"].to_numpy(), tensors.row_time[found.row].astype("datetime64[ms]"))
    assert set(frame["kind"]) == {"trained", "day:90"}
    assert ((frame["kind"] == "trained") == (tensors.row_kind[found.row] == 0)).all()
    assert np.array_equal(matrix_of(frame["hazard"]), found.hazard)
    assert np.array_equal(matrix_of(frame["survival"]), found.survival)
    for name, values in (("last_step", found.step), ("event", found.event), ("exposure", tensors.exposure[found.row])):
        assert np.array_equal(frame[name].to_numpy(), values)
    assert (frame["visits"].to_numpy() == tensors.row_visits[found.row]).all()


def changed(path, column, change):
    table = pq.read_table(path)
    values = table[column].to_pylist()
    change(values)
    place, kind = table.column_names.index(column), table.schema.field(column)
    pq.write_table(table.set_column(place, kind, pa.array(values, type=kind.type)), path)
    return path


@pytest.mark.parametrize(
    ("column", "change", "sentence"),
    [
        ("hazard", lambda values: values[1].pop(), "hazard must have one value for each of 5 intervals; 1 of"),
        ("survival", lambda values: values[0].__setitem__(0, 1.5), "survival must lie within 0..1; 1 values do not"),
        ("last_step", lambda values: values.__setitem__(0, 5), "with a label within the intervals"),
        ("exposure", lambda values: values.__setitem__(0, 1.5), "with a label within the intervals"),
        ("split", lambda values: values.__setitem__(0, "val"), "in one split"),
        ("prediction_time", lambda values: values.__setitem__(1, values[0]), "must occur once in a subject.*1 of"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(written, column, change, sentence):
    with pytest.raises(CheckpointError, match=sentence):
        read_predictions(changed(written(), column, change))


@pytest.mark.parametrize("edges", ["[0.0, 5.0", "[0.0, null]", "[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]", "[0.0]"])
def test_edges_that_are_none_are_refused(written, edges):
    path = written()
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({"survlstm.clock": "days", "survlstm.edge_days": edges}), path)
    with pytest.raises(CheckpointError, match=r"edge_days must rise from 0|can't be read"):
        read_predictions(path)


def test_runs_are_compared_at_the_times_to_train_on_that_they_share(written):
    tensors = tensors_of()
    tables = {name: read_predictions(written(name, seed=seed)) for seed, name in enumerate(("one", "two"))}
    dropped = tables["two"]["kind"].to_numpy() == "trained"
    dropped[np.flatnonzero(dropped)[1:]] = False
    tables["two"] = tables["two"][~dropped]
    found = compare(tables, BOOTSTRAP)
    own = predicted(tensors, kind=0).at(np.arange(1, len(tensors.rows_of(tensors.members(Split.TEST)))))
    assert found.subjects == len(np.unique(own.subject))
    assert found.events == len(np.unique(own.subject[own.event]))
    nll = {row.name: row.nll.value for row in found.rows}
    assert nll["one"] == pytest.approx(own.nll.mean(), rel=1e-12)
    assert any("compared at the" in note for note in found.notes)
    assert all(row.c_td.interval is not None for row in found.rows)


def test_runs_with_other_intervals_are_not_compared(written):
    tensors = tensors_of()
    other = dataclasses.replace(tensors, edge_days=tensors.edge_days * 2)
    tables = {"one": read_predictions(written("one")), "two": read_predictions(written("two", tensors=other))}
    with pytest.raises(OutcomeError, match=r"the same intervals.*one: 73, .*Set clock.edges_days"):
        compare(tables, BOOTSTRAP)


def write(folder, predictions, tensors):
    folder.mkdir()
    rows = ValidationRows(tensors.row_time[predictions.row], tensors.exposure[predictions.row])
    write_validation(folder, predictions, tensors.subject_id, clock="days", rows=rows)
    return read_validation(folder)


def test_the_lead_of_a_run_is_resampled_by_subjects(tmp_path):
    tensors = tensors_of()
    first, second = (predicted(tensors, seed=seed, kind=0, part=Split.TRAIN) for seed in (0, 1))
    ours, theirs = (write(tmp_path / str(number), one, tensors) for number, one in enumerate((first, second)))
    assert ours.digest == theirs.digest
    assert ours.subjects == len(np.unique(first.subject)) < len(ours.step)
    assert ours.events == len(np.unique(first.subject[first.event])) < ours.event.sum()
    of_nll = _difference(ours, theirs, "nll")
    assert of_nll.value == pytest.approx(first.nll.mean() - second.nll.mean())
    # Resampled rows give another interval.
    assert _difference(ours._replace(group=None), theirs, "nll").interval != of_nll.interval
    assert _difference(ours, theirs, "c_td").value == pytest.approx(_c_td(first) - _c_td(second))


def _c_td(predictions):
    (row,), _ = evaluate_steps(
        [Comparator("", "model", predictions.hazard, True)],
        step=predictions.step,
        event=predictions.event,
        bootstrap=dataclasses.replace(BOOTSTRAP, min_events=10**6),
        group=predictions.group,
    )
    return row.c_td.value


def test_other_times_give_another_digest(tmp_path):
    tensors = tensors_of()
    later = dataclasses.replace(tensors, row_time=tensors.row_time + np.timedelta64(1, "s"))
    predictions = predicted(tensors, kind=0)
    assert write(tmp_path / "a", predictions, tensors).digest != write(tmp_path / "b", predictions, later).digest
