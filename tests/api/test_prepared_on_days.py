"""Prepared data of the days clock: an item is a record with its prediction times."""

import functools

import numpy as np
import pytest
from torch.utils.data import DataLoader

import survlstm
from survlstm.api.composition import compose_one
from survlstm.api.prepared import PreparedCohort
from survlstm.config.schema.run import RunConfig
from survlstm.data.split import Split
from tests.days import prepared_days


@functools.cache
def cohort():
    config = compose_one("train", ["clock=days", "outcome=death", "evaluation.times=[day:90]"], RunConfig)
    return PreparedCohort(config, prepared_days("every_visit", evaluated=("day:90",)))


def test_an_item_is_a_record_with_its_prediction_times():
    prepared, times = cohort(), cohort().prediction_times
    for subject in prepared.test:
        own = times.iloc[list(subject.prediction_times)]
        assert set(own["subject_id"]) == {prepared.subjects.index[subject.row]}
        assert set(own["kind"]) == {"trained"}
        assert own["prediction_time"].is_monotonic_increasing
        first = own.iloc[0]
        assert (subject.step, subject.event, subject.duration_days) == tuple(
            first[name] for name in ("step", "event", "duration_days")
        )
    (batch,) = DataLoader(prepared.test, batch_size=len(prepared.test), collate_fn=prepared.collate)
    assert len(batch.event) == sum(len(subject.prediction_times) for subject in prepared.test)


def test_the_tables_have_subjects_and_prediction_times():
    prepared, tensors = cohort(), cohort().data.tensors
    subjects, times = prepared.subjects, prepared.prediction_times
    assert list(subjects.columns) == ["split", "event", "visits", "prediction_times"]
    assert len(subjects) == len(tensors.subject_id)
    assert subjects["prediction_times"].sum() == (times["kind"] == "trained").sum()
    assert np.array_equal(times["prediction_time"].to_numpy(), tensors.row_time)
    assert set(times["kind"]) == {"trained", "day:90"}
    assert (times["split"] == subjects["split"].loc[times["subject_id"]].to_numpy()).all()
    left_out = prepared.exclusions.query("counted == 'prediction times'").set_index("reason")["number"]
    assert left_out.to_dict() == prepared.data.flow.prediction_times.left_out


def test_the_short_texts_count_subjects_and_prediction_times():
    prepared, tensors = cohort(), cohort().data.tensors
    trained = prepared.data.flow.prediction_times.trained
    events = int(tensors.has_event.sum())
    assert f"{len(tensors.subject_id):,} subjects" in repr(prepared)
    assert f"{events:,} with the event, {trained:,} prediction times; days clock" in repr(prepared)
    members = tensors.members(Split.TEST)
    assert repr(prepared.test) == (
        f"<SubjectDataset test: {len(members)} subjects at {len(tensors.rows_of(members))} prediction times, "
        f"{int(tensors.has_event[members].sum())} with the event>"
    )


@pytest.mark.slow
def test_a_run_is_trained_evaluated_at_other_times_and_compared(tmp_path, monkeypatch, shared_cache):
    monkeypatch.setenv("SURVLSTM_CACHE_DIR", str(shared_cache))
    few = ["evaluation.baselines=[]", "evaluation.landmarks.visits=[]", "evaluation.landmarks.horizons=[2]"]
    settings = ["clock.times=[every_days:365]", "clock.edges_days=[3650,20000]", "evaluation.times=[day:3650]"]
    words = ["experiment=smoke", "clock=days", "outcome=death", "trainer=cpu", "trainer.epochs=1", *settings, *few]
    run = survlstm.train(words, output_dir=tmp_path / "run")
    assert set(run.predictions["kind"]) == {"trained", "day:3650"}
    assert set(run.landmarks["landmark"]) <= {"all prediction times", "day:3650"}
    assert (run.landmarks["subjects"] <= run.landmarks["at_risk"]).all()
    assert '<h2 id="task">Task</h2>' in run.report().read_text(encoding="utf-8")
    other = ["evaluation=default", "evaluation.resamples=100", "evaluation.times=[day:7300]", *few]
    evaluation = survlstm.evaluate(run, other, output_dir=tmp_path / "evaluation")
    assert set(evaluation.predictions["kind"]) == {"trained", "day:7300"}
    assert evaluation.metrics.loc["model", "nll"] == pytest.approx(run.metrics.loc["model", "nll"])
    compared = survlstm.compare([run, evaluation])
    assert compared.details.subjects == run.predictions["subject_id"].nunique()
    assert compared.table["nll"].tolist() == pytest.approx([run.metrics.loc["model", "nll"]] * 2)
