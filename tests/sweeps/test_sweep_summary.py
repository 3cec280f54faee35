"""A sweep's folder gets its summary: three files and figures, whole, whatever state the runs are in."""

import json
import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

from survlstm.report.task import BANNER
from survlstm.sweeps.summary import summarize
from survlstm.utils.errors import ConfigError
from tests.report.test_page import Outline, words
from tests.sweeps import sample

WRITTEN = {"summary.csv", "summary.json", "summary.html", "figures", ".summary.lock"}


def outline(path):
    """The page's structure; a place where a name may break holds nothing."""
    found = Outline()
    found.feed(path.read_text(encoding="utf-8").replace("<wbr>", ""))
    return found


def made(folder):
    """What the summary left beside the runs."""
    return {path.name for path in folder.iterdir() if not (path.is_dir() and path.name[0].isdigit())}


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """A sweep with its summary; only read."""
    folder = sample.grid_sweep(tmp_path_factory.mktemp("sweep"))
    summarize(folder)
    return folder


def test_the_folder_gets_three_files_and_figures(grid):
    assert made(grid) == WRITTEN
    names = {f"{name}.{end}" for name in ("main_effects", "heat_map", "parallel") for end in ("svg", "png")}
    assert {path.name for path in (grid / "figures").iterdir()} == names


def test_the_table_has_a_line_for_each_run(grid):
    table = pd.read_csv(grid / "summary.csv", keep_default_na=False).set_index("run")
    assert list(table.index) == list(range(9))
    assert list(table["state"].value_counts()[["finished", "failed", "killed"]]) == [7, 1, 1]
    best = table[table["is_winner"]]
    assert list(best.index) == [3]
    line = best.iloc[0]
    assert (line["model.dropout"], line["optimizer.weight_decay"]) == (0.3, 1e-5)
    assert [float(line[f"val_nll{end}"]) for end in ("", "_low", "_high")] == pytest.approx([2.2, 2.15, 2.25])
    assert (float(line["test_c_td"]), line["epochs"], line["against_best_baseline"]) == (pytest.approx(0.7), 3, "beats")
    assert table.loc[4, "sentence"].startswith("TrainingError: the loss must be finite")
    assert table.loc[4, "test_nll"] == ""


def test_the_json_says_what_its_numbers_mean(grid):
    content = json.loads((grid / "summary.json").read_text())
    assert content["winner"]["runs"] == ["3"]
    assert content["winner"]["overrides"] == ["model.dropout=0.3", "optimizer.weight_decay=1e-05"]
    assert content["metric"] == {"name": "val_nll", "meaning": "validation nll (lower is better)"}
    assert "over repeats" in " ".join(content["conventions"])
    assert content["swept"] == ["model.dropout", "optimizer.weight_decay"]
    assert len(content["groups"]) == len(content["runs"]) == 9
    assert content["groups"][3]["val"]["nll"] == {
        "mean": pytest.approx(2.2),
        "sd": None,
        "repeats": 1,
        "interval_over_repeats": None,
        "why_no_interval": "1 repeat, 3 are needed",
    }
    assert len(content["main_effects"]) == 6


def test_drawn_outcomes_carry_the_banner(grid, tmp_path, caplog):
    def banner(folder):
        return json.loads((folder / "summary.json").read_text())["banner"]

    assert banner(grid) == BANNER
    assert f'<p class="banner">{BANNER}</p>' in (grid / "summary.html").read_text()
    death = {"outcome": {"_target_": "survlstm.data.outcomes.clinical.DeathOutcome"}, "seed": 0}
    sample.write_run(tmp_path / "drawn", ["seed=1"])
    sample.write_run(tmp_path / "died", ["seed=2"], config=death)
    with caplog.at_level("INFO", logger="survlstm"):
        summarize(tmp_path)
    assert banner(tmp_path) == f"{BANNER} (of 1 of 2 jobs)"
    assert f"{BANNER} (of 1 of 2 jobs)" in caplog.messages
    sample.write_run(tmp_path / "drawn", ["seed=1"], config=death)
    summarize(tmp_path)
    assert banner(tmp_path) == ""
    assert '<p class="banner">' not in (tmp_path / "summary.html").read_text()


def test_the_verdict_is_the_first_thing_said(grid):
    said = words(grid / "summary.html")
    assert (
        "9 jobs: 7 finished, 1 failed, 1 killed. Best by validation nll: model.dropout=0.3 , "
        "optimizer.weight_decay=1e-05 , val_nll 2.200 (2.150 to 2.250)."
        in said.replace("0.3,", "0.3 ,").replace("05,", "05 ,")
    )
    assert (
        "On test it has c_td 0.700 (0.650 to 0.750) and nll 2.400 (2.350 to 2.450); test metrics choose nothing."
        in said
    )
    assert (
        "Second: model.dropout=0.1, optimizer.weight_decay=0.001, val_nll 2.230 (2.180 to 2.280); not told apart: one "
        "run each, and no validation.npz that says how each subject fared." in said
    )
    assert "TrainingError: the loss must be finite; found nan in epoch 2. Lower optimizer.lr" in said
    assert f"survlstm train resume={grid / '7'} goes on" in said


def test_the_page_is_sound(grid):
    found = outline(grid / "summary.html")
    assert found.open == []
    assert len(found.ids) == len(set(found.ids))
    assert set(found.references) <= set(found.ids)
    assert found.headings[0] == 1
    links = [attributes["href"] for tag, attributes in found.tags if tag == "a" and attributes["href"][0] == "."]
    assert sorted(links) == [f"./{number}/report.html" for number in (0, 1, 2, 3, 5, 6, 8)]
    page = (grid / "summary.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "http" not in page.split("</style>")[1]


def test_the_best_stands_first_and_the_unfinished_last(grid):
    page = (grid / "summary.html").read_text(encoding="utf-8")
    rows = page.split('aria-label="Jobs"')[1].split("<tbody>")[1].split("</tbody>")[0].split("<tr")[1:]
    assert 'class="model"' in rows[0]
    assert [row.count("so far") for row in rows] == [0] * 7 + [2, 2]


def test_equal_values_give_equal_bytes(grid):
    before = {path: path.read_bytes() for path in grid.rglob("*") if path.is_file()}
    summarize(grid)
    assert {path: path.read_bytes() for path in grid.rglob("*") if path.is_file()} == before


def test_repeats_are_told_as_groups(tmp_path):
    folder = sample.repeats_sweep(tmp_path / "cv")
    summarize(folder)
    said = words(folder / "summary.html")
    assert "10 jobs: 10 finished. Best by validation nll: model.hidden_dim=256" in said
    assert "val_nll 2.340 (2.301 to 2.380), the mean of 5 repeats." in said
    assert "Runs that differ in split.fold only are repeats." in said
    assert "the 95% t-interval over repeats (not over subjects)" in said
    content = json.loads((folder / "summary.json").read_text())
    group = content["groups"][1]
    assert (group["runs"], group["finished"]) == (["5", "6", "7", "8", "9"], 5)
    assert group["val"]["nll"]["interval_over_repeats"] == {
        "low": pytest.approx(2.3011, abs=1e-4),
        "high": pytest.approx(2.3796, abs=1e-4),
    }
    assert group["val"]["nll"]["why_no_interval"] is None
    second = "Second: model.hidden_dim=64, val_nll 2.440 (2.401 to 2.480), the mean of 5 repeats; the best leads by"
    assert second in said
    assert content["winner"]["tied_with_second"] is False


def test_two_repeats_have_no_interval_but_a_reason(tmp_path):
    folder = sample.repeats_sweep(tmp_path / "cv", folds=2)
    summarize(folder)
    said = words(folder / "summary.html")
    assert "model.hidden_dim=256, val_nll 2.310, the mean of 2 repeats (no interval: 3 are needed)." in said
    assert "no interval: 2 repeats, 3 are needed" in said
    assert "not told apart: 2 pairs of repeats, 3 are needed." in said
    group = json.loads((folder / "summary.json").read_text())["groups"][1]["val"]["nll"]
    assert (group["interval_over_repeats"], group["why_no_interval"]) == (None, "2 repeats, 3 are needed")


def test_jobs_that_still_run_and_nothing_finished(tmp_path):
    sample.write_unfinished(tmp_path / "0", ["seed=1"], "running")
    sample.write_unfinished(tmp_path / "1", ["seed=2"], "failed", "E: no", epochs=0)
    (tmp_path / "2").mkdir()
    (tmp_path / "2" / "training.log").touch()
    with sample.held(tmp_path / "0"):
        sweep = summarize(tmp_path)
    assert sweep.winner is None
    said = words(tmp_path / "summary.html")
    assert "3 jobs: 1 running, 1 failed, 1 of unknown state. No winner: no run has finished" in said
    assert "1 still running" in said
    assert "No figures: no key was swept except seed." in said
    assert list((tmp_path / "figures").iterdir()) == []
    assert json.loads((tmp_path / "summary.json").read_text())["winner"] is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"words": ["model.dropout=0.1,0.2,0.3", "seed=range(1,4)", "data=tiny"]}, "9 jobs: 1 finished, 8 not begun."),
        ({"words": ["model.dropout=0.1,0.2", "hydra/sweeper=other"]}, "1 job: 1 finished."),
        ({"words": ["model.dropout=glob(*)"]}, "1 job: 1 finished."),
        ({"words": ["model.dropout='"]}, "1 job: 1 finished."),
        ({"words": [1]}, "1 job: 1 finished."),
        ({"words": ["--config-dir", "/conf", "model.dropout=0.1,0.2"]}, "2 jobs: 1 finished, 1 not begun."),
        ({"words": ["data=tiny"]}, "1 job: 1 finished."),
        ([], "1 job: 1 finished."),
    ],
)
def test_jobs_that_have_not_begun_are_counted(tmp_path, content, said):
    sample.write_run(tmp_path / "model.dropout=0.1,seed=1", ["model.dropout=0.1", "seed=1"])
    sample.write(tmp_path / "sweep.json", content)
    summarize(tmp_path)
    page = words(tmp_path / "summary.html")
    assert said in page
    assert ("sweep.resume=" in page) == ("not begun" in said)


def test_one_run(tmp_path):
    sample.write_run(tmp_path / "0", ["model.dropout=0.1"])
    summarize(tmp_path)
    assert "1 job: 1 finished. Best by validation nll: run 0 , val_nll 2.200" in words(
        tmp_path / "summary.html"
    ).replace("run 0,", "run 0 ,")


def test_many_keys_and_many_jobs_stay_readable(tmp_path):
    for number in range(30):
        overrides = [f"k{key}={(number >> key % 5) & 1}" for key in range(25)]
        sample.write_run(tmp_path / str(number), overrides, val=(2 + number / 100, 0.8))
    summarize(tmp_path)
    said = words(tmp_path / "summary.html")
    assert "Best by validation nll: run 0, val_nll 2.000" in said
    assert "Overrides of the winner: k0=0 k1=0" in said
    assert "The other 5 jobs" in said
    assert "Of 25 swept keys, the 5 with the largest effects have a column" in said
    assert {f"k{key}" for key in range(25)} <= set(pd.read_csv(tmp_path / "summary.csv").columns)


def test_the_same_failure_is_told_once(tmp_path):
    sample.write_run(tmp_path / "0", ["seed=0"])
    for number in range(1, 4):
        sample.write_unfinished(tmp_path / str(number), [f"seed={number}"], "failed", "SourceError: no folder /x")
    summarize(tmp_path)
    said = words(tmp_path / "summary.html")
    assert said.count("SourceError: no folder /x") == 1
    assert "3 runs SourceError" in said


NASTY = ["data.path=/a b/c,d=e/ü", "name='<script>alert(1)</script> & \"x\"'", "model.name={{ 7 * 7 }}", "code=$x_y$"]


def test_whatever_runs_say_is_escaped(tmp_path):
    sample.write_run(tmp_path / "0 a=b,c ü#?" / "<b>", [*NASTY, "seed=1"])
    sample.write_run(tmp_path / "1", ["data.path=x", "name=y", "model.name=z", "code=k"], val=(2.3, 0.8))
    sample.write_unfinished(tmp_path / "2", [*NASTY, "seed=2"], "failed", "<img src=x onerror=alert(1)> & more")
    summarize(tmp_path)
    page = (tmp_path / "summary.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "<img" not in page
    assert "<b>" not in page
    assert 'href="./0%20a%3Db%2Cc%20%C3%BC%23%3F/%3Cb%3E/report.html"' in page
    assert outline(tmp_path / "summary.html").open == []
    said = words(tmp_path / "summary.html")
    assert "<img src=x onerror=alert(1)> & more" in said
    assert "{{ 7 * 7 }}" in said
    table = pd.read_csv(tmp_path / "summary.csv")
    assert table["data.path"][0] == "/a b/c,d=e/ü"


def test_figures_that_can_no_longer_be_drawn_go(tmp_path):
    folder = sample.grid_sweep(tmp_path)
    summarize(folder)
    (folder / "figures" / "mine.txt").touch()
    for number in range(9):
        sample.write(folder / str(number) / "manifest.json", sample.manifest(["seed=1"], "failed", "E"))
    summarize(folder)
    assert [path.name for path in (folder / "figures").iterdir()] == ["mine.txt"]


def test_two_at_once_leave_whole_files(tmp_path):
    folder = sample.repeats_sweep(tmp_path, folds=2)
    call = f"from pathlib import Path; from survlstm.sweeps.summary import summarize; summarize(Path({str(folder)!r}))"
    both = [subprocess.Popen([sys.executable, "-c", call]) for _ in range(2)]
    assert [process.wait(120) for process in both] == [0, 0]
    assert made(folder) == WRITTEN
    assert len(json.loads((folder / "summary.json").read_text())["runs"]) == 4
    assert outline(folder / "summary.html").open == []


def test_a_late_writer_has_read_late(tmp_path, monkeypatch):
    """While one writes, the other waits with reading; what ended in between is in the last summary."""
    from survlstm.sweeps import summary

    sample.write_run(tmp_path / "0", ["seed=0"])
    write = summary._write

    def slowly(folder, sweep):
        if len(sweep.rows) == 1:
            sample.write_run(tmp_path / "1", ["seed=1"])
            second.append(pool.submit(summary.summarize, tmp_path))
        write(folder, sweep)

    monkeypatch.setattr(summary, "write_page", lambda folder, sweep: None)
    monkeypatch.setattr(summary, "_write", slowly)
    second = []
    with ThreadPoolExecutor(1) as pool:
        summary.summarize(tmp_path)
    second[0].result()
    assert len(json.loads((tmp_path / "summary.json").read_text())["runs"]) == 2


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda folder: folder / "nowhere",
            "must be the folder that survlstm train -m made; found no folder .*nowhere",
        ),
        (lambda folder: folder, "must be a folder with runs below it; found no run:"),
        (lambda folder: sample.write_run(folder) or folder, "found a run folder: .*Name the folder above them"),
    ],
)
def test_a_folder_that_is_no_sweep_is_refused_and_left_alone(tmp_path, make, sentence):
    folder = make(tmp_path)
    before = set(tmp_path.rglob("*"))
    with pytest.raises(ConfigError, match=sentence):
        summarize(folder)
    assert set(tmp_path.rglob("*")) == before


def test_a_file_in_the_way_is_a_sentence(tmp_path):
    sample.write_run(tmp_path / "0")
    (tmp_path / "figures").write_text("mine")
    with pytest.raises(ConfigError, match="must be one that can be written"):
        summarize(tmp_path)
    assert not list(tmp_path.glob(".files.*"))


def test_another_metric_may_pick_but_none_of_the_test(tmp_path, grid):
    with pytest.raises(ConfigError, match="metric must be one of val_nll, val_c_td"):
        summarize(grid, metric="test_nll")
    folder = sample.grid_sweep(tmp_path)
    assert summarize(folder, metric="val_c_td").winner.group.rows[0].name == "3"
    assert "Best by validation c_td" in words(folder / "summary.html")


def test_the_console_shows_the_table_or_one_sentence(grid, caplog):
    with caplog.at_level(logging.INFO, logger="survlstm"):
        summarize(grid)
    assert "model.dropout" in caplog.messages[0]
    assert "2.200 (2.150 to 2.250)" in caplog.messages[0]
    assert any(message.startswith("Run 4 failed: TrainingError") for message in caplog.messages)
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="survlstm"):
        summarize(grid, show=False)
    first, second = caplog.messages
    assert first.startswith("9 jobs: 7 finished, 1 failed, 1 killed. Best by validation nll: ")
    assert second == f"Summary: {grid / 'summary.html'}"


def test_notes_on_broken_files_are_shown(tmp_path):
    sample.write_run(tmp_path / "0", ["seed=0"])
    (tmp_path / "0" / "history.json").write_text("{", encoding="utf-8")
    summarize(tmp_path)
    assert "history.json can't be read: JSONDecodeError" in words(tmp_path / "summary.html")


def test_a_folder_named_relatively(tmp_path, monkeypatch):
    sample.write_run(tmp_path / "sweep" / "0", ["seed=0"])
    monkeypatch.chdir(tmp_path / "sweep")
    summarize(Path())
    assert "Sweep sweep" in words(tmp_path / "sweep" / "summary.html")
