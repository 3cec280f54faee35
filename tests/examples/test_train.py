"""``survlstm train`` as a person types it, on the smoke experiment."""

import json
import logging
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from survlstm.report.task import BANNER

# Baselines and landmarks have tests of their own, and take seconds.
BARE = ["evaluation.baselines=[]", "evaluation.landmarks.visits=[]", "evaluation.resamples=100"]
SMOKE = ["train", "experiment=smoke", *BARE]
FROM_LANDMARKS = ["train", "experiment=smoke", "evaluation.baselines=[]", "evaluation.resamples=100"]
FREE = "covariate-free hazard"


def test_a_run_leaves_everything_in_its_folder(survlstm, tmp_path, capsys):
    assert survlstm(*FROM_LANDMARKS) == 0
    (folder,) = tmp_path.glob("outputs/*/*")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d-\d{6}", f"{folder.parent.name}/{folder.name}")
    assert {path.name for path in folder.iterdir()} >= {
        "config.yaml",
        "history.json",
        "metrics.json",
        "training.log",
        "checkpoints",
    }
    history = json.loads((folder / "history.json").read_text())
    assert len(history["epochs"]) == 3
    metrics = json.loads((folder / "metrics.json").read_text())
    assert [row["name"] for row in metrics["test"]["rows"]][:3] == ["model", "oracle", "covariate-free hazard"]
    tables = {table["table"]: table for table in metrics["data"]["tables"]}
    for table in tables.values():
        lost = sum(table["left_out"].values()) + sum(table["unusable"].values())
        assert table["rows_read"] == table["rows_used"] + lost
    assert tables["observations"]["left_out"]["book-keeping (QALY, DALY, QOLS)"] > 0
    assert yaml.safe_load((folder / "config.yaml").read_text())["model"]["hidden_dim"] == 16
    best = torch.load(folder / "checkpoints" / "best.pt", weights_only=True)
    assert best["about"]["config"]["trainer"]["epochs"] == 3

    shown = capsys.readouterr().out
    for line in ("Vocabulary size:", "Event rate:", "Epoch 1/3", "Val loss:", "Saved best model to", "C-index (c_td)"):
        assert line in shown
    log = (folder / "training.log").read_text()
    assert "Epoch 3/3" in log
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", log)


def test_the_second_run_uses_the_prepared_data_and_repeats_the_history(survlstm, tmp_path, capsys):
    for name in ("one", "other"):
        assert survlstm(*SMOKE, f"output_dir={name}") == 0
    assert "taken from the cache" in capsys.readouterr().out.split("Training complete!")[1]
    one, other = (json.loads((tmp_path / name / "history.json").read_text()) for name in ("one", "other"))
    for before, after in zip(one["epochs"], other["epochs"], strict=True):
        for figure in ("train_loss", "val_loss", "val_c_td", "grad_norm", "lr"):
            assert before[figure] == after[figure]
    one, other = ((tmp_path / name / "metrics.json").read_text() for name in ("one", "other"))
    assert one == other
    manifest = json.loads((tmp_path / "one" / "manifest.json").read_text())
    assert re.fullmatch(r"ok: median \S+ s per epoch, over 3 epochs", manifest["seconds an epoch"])
    assert "s per epoch, over 3 epochs" in (tmp_path / "one" / "report.html").read_text()


def test_a_sweep_gives_a_folder_for_each_combination(survlstm, tmp_path):
    sweep = ["-m", "model.dropout=0.1,0.3", "optimizer.weight_decay=1e-5,1e-4", "experiment=smoke"]
    assert survlstm("train", *sweep, "trainer.epochs=1", *BARE) == 0
    (folder,) = tmp_path.glob("outputs/*/*")
    runs = sorted(path.parent for path in folder.glob("*/metrics.json"))
    assert [run.name for run in runs] == [
        f"model.dropout={dropout},optimizer.weight_decay={decay}"
        for dropout in ("0.1", "0.3")
        for decay in ("0.0001", "1e-05")
    ]
    found = {
        (config["model"]["dropout"], config["optimizer"]["weight_decay"])
        for config in (yaml.safe_load((run / "config.yaml").read_text()) for run in runs)
    }
    assert found == {(0.1, 1e-5), (0.1, 1e-4), (0.3, 1e-5), (0.3, 1e-4)}


@pytest.mark.parametrize("outcome", ["random", "death", "ckd_progression", "first_code"])
def test_every_outcome_runs_and_is_named(survlstm, tmp_path, capsys, outcome):
    words = ["outcome.codes=[SNOMED/162864005]"] if outcome == "first_code" else []
    assert survlstm(*SMOKE, "data.simulated.patients=250", f"outcome={outcome}", "output_dir=run", *words) == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    names = [row["name"] for row in metrics["test"]["rows"]]
    assert names == ["model", *(["oracle"] if outcome == "random" else []), FREE]

    name = {
        "random": "random (drawn by chance)",
        "death": "death",
        "ckd_progression": "first entry of SNOMED/431857002 or 8 other codes",
        "first_code": "first entry of SNOMED/162864005",
    }[outcome]
    banner = BANNER if outcome == "random" else ""
    assert metrics["task"] == {"outcome": name, "data": "250 simulated patients", "banner": banner}
    shown = capsys.readouterr().out
    assert shown.splitlines()[0] == f"Outcome: {name}; data: 250 simulated patients"
    # At the beginning, and above the summary.
    assert shown.count(BANNER) == (2 if banner else 0)
    page = (tmp_path / "run" / "report.html").read_text()
    title = f"Run run: outcome {name}, 250 simulated patients"
    assert f"<title>{title}</title>" in page
    assert f"<h1>{title}</h1>" in page
    assert page.count(f'<p class="banner">{BANNER}</p>') == bool(banner)
    assert survlstm("runs", ".") == 0
    assert (name if banner else outcome) in capsys.readouterr().out


@pytest.mark.parametrize("model", ["lstm_medium", "lstm_large"])
def test_every_model_runs(survlstm, tmp_path, model):
    words = ["data=tiny", "trainer=smoke", "trainer.epochs=1", f"model={model}", "scheduler=cosine", "output_dir=run"]
    assert survlstm("train", *words, *BARE) == 0
    assert (tmp_path / "run" / "checkpoints" / "best.pt").is_file()


def test_canary_2_a_trained_model_finds_nothing_in_a_random_outcome(survlstm, tmp_path):
    words = ["data=tiny", "data.simulated.patients=1500", "outcome=random", "trainer.epochs=8", "output_dir=run"]
    assert survlstm("train", *words, *BARE, "evaluation.resamples=200") == 0
    c_td = json.loads((tmp_path / "run" / "metrics.json").read_text())["test"]["rows"][0]["c_td"]
    standard_error = (c_td["interval"]["high"] - c_td["interval"]["low"]) / (2 * 1.96)
    assert standard_error < 0.04
    assert abs(c_td["value"] - 0.5) <= 3 * standard_error


def test_a_wrong_config_ends_with_one_sentence_and_code_2(survlstm, tmp_path, capsys):
    assert survlstm("train", "trainer.batch_sise=3") == 2
    shown = capsys.readouterr()
    assert (
        shown.err == "ConfigError: trainer.batch_sise is not a known key; the nearest valid key is trainer.batch_size\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA, so asking for it is no error")
def test_cuda_where_there_is_none(survlstm, capsys):
    assert survlstm(*SMOKE, "trainer.device=cuda") == 2
    assert re.search(
        r"ConfigError: trainer.device=cuda needs a CUDA device; .* Set trainer.device=auto", capsys.readouterr().out
    )


def test_a_folder_that_holds_a_run_is_never_written_over(survlstm, tmp_path, capsys):
    assert survlstm(*SMOKE, "output_dir=run", "trainer.epochs=1") == 0
    before = (tmp_path / "run" / "history.json").read_bytes()
    assert survlstm(*SMOKE, "output_dir=run") == 2
    assert "output_dir must not hold a run already" in capsys.readouterr().err
    assert (tmp_path / "run" / "history.json").read_bytes() == before


def test_a_broken_export_is_told_in_a_sentence_and_in_the_log(survlstm, tmp_path, capsys):
    (tmp_path / "export").mkdir()
    assert survlstm("train", "data=synthea", "data.path=export", "output_dir=run") == 3
    shown = capsys.readouterr().out
    assert "SourceError: " in shown
    assert "must hold patients.csv" in shown
    assert "Traceback" not in shown
    assert "must hold patients.csv" in (tmp_path / "run" / "training.log").read_text()


def test_simulate_writes_an_export_that_train_reads(survlstm, tmp_path, capsys):
    assert survlstm("simulate", "patients=80", "output=export", "seed=3") == 0
    assert (tmp_path / "export" / "patients.csv").is_file()
    assert survlstm(*SMOKE, "data=synthea", "data.path=export", "output_dir=run") == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["data"]["subjects_read"] == 80
    assert survlstm("simulate", "patients=80", "output=export") == 2
    assert "output must be a new or empty folder" in capsys.readouterr().out
    assert survlstm("simulate", "patients=80", "output=export/patients.csv/x") == 2
    assert "output must be a folder that can be made" in capsys.readouterr().out
    assert survlstm("simulate", "-m", "patients=5,6", "output=x") == 2
    assert "writes one cohort" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"export", "run"}


def test_max_visits_and_max_codes_per_visit_leave_the_outcome_alone(survlstm, tmp_path):
    words = ["outcome=first_code", "outcome.codes=[SNOMED/162864005]", "data.simulated.patients=250"]
    found = []
    for name, caps in {"whole": [], "capped": ["data.max_visits=6", "data.max_codes_per_visit=3"]}.items():
        assert survlstm(*SMOKE, *words, *caps, f"output_dir={name}") == 0
        found.append(json.loads((tmp_path / name / "metrics.json").read_text()))
    assert found[1]["data"]["entries_left_out"]["beyond max_codes_per_visit"] > 0
    free = [[row for row in one["test"]["rows"] if row["name"] == FREE] for one in found]
    for whole, capped in zip(*free, strict=True):
        assert (whole["c_td"], whole["nll"]) == (capped["c_td"], capped["nll"])


def test_canary_2_holds_with_max_visits(survlstm, tmp_path):
    words = ["data=tiny", "data.simulated.patients=1500", "outcome=random", "trainer.epochs=8", "data.max_visits=5"]
    assert survlstm("train", *words, *BARE, "evaluation.resamples=200", "output_dir=run") == 0
    c_td = json.loads((tmp_path / "run" / "metrics.json").read_text())["test"]["rows"][0]["c_td"]
    standard_error = (c_td["interval"]["high"] - c_td["interval"]["low"]) / (2 * 1.96)
    assert abs(c_td["value"] - 0.5) <= 3 * standard_error


@pytest.mark.parametrize("key", ["output_dir", "cache_dir"])
def test_a_place_that_cannot_be_written_is_told(survlstm, tmp_path, capsys, key):
    (tmp_path / "file").write_text("not a folder")
    words = [f"{key}=file"] + (["output_dir=run"] if key == "cache_dir" else [])
    assert survlstm(*SMOKE, *words) == 2
    shown = capsys.readouterr()
    assert f"ConfigError: {key} must be a folder that can be written" in shown.out + shown.err


@pytest.mark.parametrize("again", [["hydra.run.dir=sweep/0"], ["-m", "output_dir=sweep", "seed=7,8"]])
def test_no_way_leads_to_writing_over_a_run(survlstm, tmp_path, capsys, again):
    assert survlstm(*SMOKE, "output_dir=sweep/0", "trainer.epochs=1") == 0
    before = {path: path.read_bytes() for path in (tmp_path / "sweep").rglob("*") if path.is_file()}
    assert survlstm(*SMOKE, *again) == 2
    shown = capsys.readouterr()
    assert "output_dir must not hold a run already" in shown.out + shown.err
    assert "Traceback" not in shown.out + shown.err
    assert before == {path: path.read_bytes() for path in (tmp_path / "sweep").rglob("*") if path.is_file()}


def test_the_sweep_flag_may_stand_anywhere(survlstm, tmp_path):
    words = ["experiment=smoke", "trainer.epochs=1", "-m", "model.dropout=0.1,0.3", "output_dir=sweep"]
    assert survlstm("train", *BARE, *words) == 0
    jobs = sorted(path.parent for path in (tmp_path / "sweep").glob("*/config.yaml"))
    assert [job.name for job in jobs] == ["model.dropout=0.1", "model.dropout=0.3"]
    assert Path(yaml.safe_load((jobs[1] / "config.yaml").read_text())["output_dir"]) == jobs[1]


def test_logs_leave_no_handler_behind(survlstm):
    survlstm(*SMOKE, "trainer.epochs=1")
    assert logging.getLogger("survlstm").handlers == []


REAL = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real exports at {REAL}")
@pytest.mark.parametrize("cohort", ["cohort_106", "cohort_1000", "legacy_2019", "legacy_2025"])
def test_real_exports_train(survlstm, tmp_path, cohort):
    assert survlstm(*SMOKE, f"data.path={REAL / cohort}", "output_dir=run") == 0
    rows = json.loads((tmp_path / "run" / "metrics.json").read_text())["test"]["rows"]
    assert all(np.isfinite(row["c_td"]["value"]) for row in rows)


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real exports at {REAL}")
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_synthetic_outcome_of_a_real_cohort_is_what_was_promised(survlstm, tmp_path, seed):
    words = [f"data.path={REAL / 'cohort_1000'}", "outcome=synthetic", f"seed={seed}", "output_dir=run"]
    assert survlstm(*SMOKE, *words, "trainer.epochs=1") == 0
    facts = json.loads((tmp_path / "run" / "metrics.json").read_text())["data"]["outcome_facts"]
    assert facts["event_rate"] == pytest.approx(0.70, abs=0.02)
    assert 8 <= facts["median_step"] <= 16
    assert facts["risk_time_correlation"] < -0.3
    assert 0.75 <= facts["oracle_c_td"] <= 0.85


def test_a_folder_of_configs_may_be_named_anywhere(survlstm, tmp_path):
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "own.yaml").write_text("# @package _global_\nmodel:\n  hidden_dim: 8\n")
    words = ["experiment=[smoke,own]", "--config-dir", "mine", *BARE, "trainer.epochs=1", "output_dir=run"]
    assert survlstm("train", *words) == 0
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["model"]["hidden_dim"] == 8
