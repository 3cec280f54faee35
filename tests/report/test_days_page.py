"""The days clock in words: the task, the log, the page, its figures and metrics.json."""

import dataclasses
import json
import logging
import re

import numpy as np
import pytest

from survlstm.api.composition import compose_one
from survlstm.config.schema.run import RunConfig
from survlstm.data.prediction_times import TRAINED
from survlstm.report.console_summary import log_evaluation, log_preparation, write_metrics
from survlstm.report.days_task import count_in_words, describe_days_task
from survlstm.report.figures.calibration import draw_calibration
from survlstm.report.figures.cohort import draw_flow
from survlstm.report.figures.curves import draw_examples, draw_groups
from survlstm.report.figures.ranking import draw_heat_map
from survlstm.report.formatting import format_landmark, format_since, starts_at_prediction_times
from survlstm.report.page import write_report
from survlstm.report.task import TimeRules, time_rules
from tests.days import prepared_days
from tests.evaluated_runs import evaluated_run
from tests.report import sample

ALL = "all prediction times"
RULES = TimeRules(("every_visit", "every_days:90"), ("day:365", "private/folder/times.csv"))


def days_verdict():
    """All prediction times, where subjects have several, and a rule, where each has one."""
    every = dataclasses.replace(
        sample.landmark(ALL, (365, 1825), unit="days", at_risk=1041), subjects=176, event_subjects=31
    )
    rule = sample.landmark("day:365", (365, 1825), unit="days", at_risk=90)
    return sample.visit_verdict(
        clock="days",
        landmarks=(every, rule),
        curves=tuple(sample.curves(name, np.arange(1, 21) * 91.25, "days") for name in (ALL, "day:365")),
        groups=sample.groups(landmark=ALL, unit="days", horizon=1825.0),
    )


def prepared():
    return prepared_days("every_visit", evaluated=("day:90",))


def days_run():
    """A run whose page has few figures, which take most of its time."""
    data, verdict = prepared(), days_verdict()
    landmarks = tuple(dataclasses.replace(one, calibration=()) for one in verdict.landmarks)
    run = evaluated_run(
        dataclasses.replace(verdict, landmarks=landmarks, curves=()),
        history=None,
        flow=sample.flow(prediction_times=data.flow.prediction_times),
        tensors=data.tensors,
        vocabulary=data.vocabulary,
    )
    return run, sample.description()._replace(times=RULES)


@pytest.mark.parametrize(
    ("name", "unit", "shown", "since", "is_times"),
    [
        ("landmark", "days", "landmark", "from the landmark", False),
        ("visit 5", "steps", "visit 5", "from visit 5", False),
        ("day 365", "steps", "day 365", "from day 365", False),
        (ALL, "days", ALL, f"from {ALL}", True),
        ("visit 5", "days", "visit 5", "from visit 5", True),
        ("day:365", "days", "the times day:365", "from the times day:365", True),
        ("last", "days", "the times last", "from the times last", True),
        ("private/folder/times.csv", "days", "the times times.csv", "from the times times.csv", True),
    ],
)
def test_names_of_landmarks(name, unit, shown, since, is_times):
    assert (format_landmark(name), format_since(name)) == (shown, since)
    assert starts_at_prediction_times(name, unit) is is_times


def test_the_task_names_rules_intervals_and_weights():
    counts = prepared().flow.prediction_times
    facts = describe_days_task(RULES, counts, np.array([0.0, 30.0, 365.0]), outcome="death")
    assert "(death) in each of 2 intervals" in facts["Predicted"]
    assert facts["Prediction times"].startswith(
        "Trained on: every visit, every 90 days after the first visit. Only evaluated: 365 days after the first visit, "
        "the times of times.csv. A subject has a median of "
    )
    assert facts["Intervals"] == "The intervals end 30 and 365 days after the prediction time."
    many = describe_days_task(RULES, counts, np.arange(21.0), outcome="death")
    assert many["Intervals"] == "The last one ends 20 days after the prediction time."
    assert "share of the interval" in facts["Censoring"]


def test_rules_are_those_of_the_days_clock_only():
    days = compose_one("train", ["clock=days", "outcome=death", "evaluation.times=[last]"], RunConfig)
    assert time_rules(days) == TimeRules(("every_visit",), ("last",))
    assert time_rules(compose_one("train", [], RunConfig)) is None


def test_the_log_counts_subjects_and_prediction_times(caplog):
    data = prepared()
    tensors, counts = data.tensors, data.flow.prediction_times
    with caplog.at_level(logging.INFO):
        log_preparation(data)
    assert f"Subjects: {len(tensors.subject_id)} (" in caplog.text
    assert f"Event rate: {100 * tensors.has_event.mean():.2f}%" in caplog.text
    assert f"Prediction times: {count_in_words(counts)}" in caplog.text
    assert counts.made == counts.trained + counts.evaluated + sum(counts.left_out.values())
    days = np.median(tensors.duration_days[tensors.row_kind == TRAINED])
    assert f"Median time from a prediction time to event/censoring: {days:.0f} days" in caplog.text
    assert "Median event/censoring step" not in caplog.text


def test_the_log_counts_the_rows_of_a_landmark(caplog):
    with caplog.at_level(logging.INFO):
        log_evaluation(days_verdict(), ())
    assert "From all prediction times: 1,041 prediction times of 176 subjects at risk, 61 of 31 subjects with" in (
        caplog.text
    )
    assert "From day:365: 90 at risk, 61 events" in caplog.text


def test_the_page_speaks_of_prediction_times(tmp_path):
    run, description = days_run()
    page = write_report(tmp_path, run, (), description=description, manifest={}, values=()).read_text(encoding="utf-8")
    counts = run.prepared.flow.prediction_times
    text = re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL)
    for part in (
        '<a href="#task">Task</a>',
        "<dt>Prediction times</dt><dd>Trained on: every visit, every 90 days after the first visit.",
        "Prediction times and horizons",
        "at 1,041 prediction times",
        "negative log-likelihood per prediction time",
        "1,041 prediction times of 176 subjects at risk, 61 of them, of 31 subjects, followed by the event.",
        "90 subjects at risk, 61 events after the prediction time.",
        '<h3 class="named">the times day:365</h3>',
        f'<th scope="row">trained on, in all splits</th><td>{counts.trained:,}</td>',
        '<th scope="row">left out: at or after the event</th>',
        "by age at the first prediction time",
    ):
        assert part in text, part
    main = text.split("<main>")[1].split('id="conventions"')[0]
    assert "andmark" not in re.sub(r"age at landmark|id=\"landmarks\"|=\"landmarks\"", "", main)
    assert "private/folder" not in text


def test_figures_speak_of_prediction_times():
    summary = days_verdict()
    curves, (every, rule) = summary.curves[0], summary.landmarks
    examples, groups = draw_examples(curves, name="e"), draw_groups(curves, name="g")
    assert examples.title == f"Three predictions from {ALL}"
    assert "at one prediction time of one subject" in examples.caption
    assert "Thirds of the prediction times" in groups.caption
    assert "the bands are as wide as if each subject had one" in groups.caption
    assert groups.figure.axes[0].get_xlabel() == "days from the prediction time"
    calibration = draw_calibration(every.calibration[0], landmark=every.name, unit="days", name="c")
    assert "14 to 15 prediction times" in calibration.caption
    heat = draw_heat_map((every, rule))
    assert "by prediction times and horizon" in heat.title
    assert "the times day:365, 365 days" in heat.alt
    counts = prepared().flow.prediction_times
    flow = draw_flow(sample.flow(prediction_times=counts), evaluated=("test", 176, 74))
    assert f"used at {counts.trained:,} prediction times" in flow.alt


def test_metrics_hold_counts_of_rows_on_the_days_clock_only(tmp_path):
    run, description = days_run()
    write_metrics(tmp_path / "days.json", run, (), task=description.task)
    days = json.loads((tmp_path / "days.json").read_text())
    assert days["test"]["clock"] == "days"
    assert days["test"]["landmarks"][0]["subjects"] == 176
    assert "subjects" not in days["test"]["landmarks"][1]
    assert days["data"]["prediction_times"]["trained"] == run.prepared.flow.prediction_times.trained
    assert days["data"]["edge_days"] == run.prepared.tensors.edge_days.tolist()
    other = sample.run(sample.landmark_verdict(), history=sample.history(), flow=sample.flow())
    write_metrics(tmp_path / "landmark.json", other, (), task=description.task)
    landmark = json.loads((tmp_path / "landmark.json").read_text())
    assert not {"prediction_times", "edge_days"} & set(landmark["data"])
    assert not {"subjects", "event_subjects"} & set(landmark["test"]["landmarks"][0])
