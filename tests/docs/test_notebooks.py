"""The notebooks of examples/: stored without outputs, executed in an empty folder, and showing what their text says."""

import json
import re
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOKS = ("first_run", "own_model", "report_and_predict")
# Seconds that a single cell may take on a busy machine.
PATIENCE = 300


def read(name: str) -> nbformat.NotebookNode:
    return nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)


def test_all_notebooks_are_tested():
    assert sorted(path.stem for path in EXAMPLES.rglob("*.ipynb")) == sorted(NOTEBOOKS)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_stored_without_outputs_and_without_traces_of_a_machine(name):
    notebook = read(name)
    nbformat.validate(notebook)
    assert notebook.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for number, cell in enumerate(notebook.cells):
        assert cell.metadata == {}, f"{name}, cell {number} has metadata"
        if cell.cell_type == "code":
            assert cell.outputs == [], f"{name}, cell {number} has outputs"
            assert cell.execution_count is None, f"{name}, cell {number} has an execution count"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_notebook_begins_with_a_title_and_links_only_to_files_that_exist(name):
    cells = read(name).cells
    assert cells[0].source.startswith("# ")
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    for target in re.findall(r"\]\((?!https?:)(.*?)\)", text):
        assert (EXAMPLES / target).is_file(), f"{name} links to {target}"


@pytest.fixture
def shown(tmp_path, shared_cache, monkeypatch):
    """Execute a notebook in an empty folder; returns what each code cell has shown, by the first line of the cell."""
    environment = {
        "SURVLSTM_CACHE_DIR": shared_cache,
        "PYTHONPATH": EXAMPLES.parent,
        "IPYTHONDIR": tmp_path / "ipython",
        "OMP_NUM_THREADS": 1,
    }
    for key, value in environment.items():
        monkeypatch.setenv(key, str(value))

    def execute(name: str) -> dict[str, Shown]:
        notebook = read(name)
        folder = tmp_path / "work"
        folder.mkdir()
        NotebookClient(notebook, timeout=PATIENCE, resources={"metadata": {"path": str(folder)}}).execute()
        return {cell.source.splitlines()[-1]: as_shown(cell) for cell in notebook.cells if cell.cell_type == "code"}

    return execute


class Shown(NamedTuple):
    """What a cell has shown.

    Attributes:
        text: Its results as text.
        has_picture: Whether one of them is a picture.
        complaints: What it has written to stderr.
    """

    text: str
    has_picture: bool
    complaints: str


def as_shown(cell: nbformat.NotebookNode) -> Shown:
    data = [output.data for output in cell.outputs if output.output_type in {"execute_result", "display_data"}]
    streams = [output for output in cell.outputs if output.output_type == "stream"]
    return Shown(
        text="".join(each.get("text/plain", "") for each in data),
        has_picture=any("image/png" in each for each in data),
        complaints="".join(output.text for output in streams if output.name == "stderr"),
    )


def complaints(cells: dict[str, Shown]) -> dict[str, str]:
    return {line: cell.complaints for line, cell in cells.items() if cell.complaints}


def test_the_first_run_is_repeated_bit_for_bit(shown):
    cells = shown("first_run")
    assert complaints(cells) == {}
    assert "7 test subjects with 4 events" in cells["run"].text
    assert cells["run.plot.history().figure"].has_picture
    assert cells['again.history["val_loss"].equals(run.history["val_loss"])'].text == "True"


@pytest.mark.slow
def test_a_model_of_ones_own_is_checked_compared_and_trained_in_a_loop(shown):
    cells = shown("own_model")
    assert complaints(cells) == {}
    assert "no hazard of my_gru.MyGRU depends on later visits" in "".join(cell.text for cell in cells.values())
    assert {"my_gru", "lstm_small"} <= set(cells["comparison"].text.split())
    losses = json.loads(cells["[round(loss, 3) for loss in losses]"].text)
    assert len(losses) == 6
    assert min(losses[1:]) < losses[0]
    assert cells["type(loaded.model)"].text == "my_gru.MyGRU"


@pytest.mark.slow
def test_a_report_is_read_and_a_new_subject_is_predicted_and_explained(shown):
    cells = shown("report_and_predict")
    assert complaints(cells) == {}
    assert cells["run.plot.calibration().figure"].has_picture
    assert cells['run.plot.survival("visit 2").figure'].has_picture
    assert (
        "NaN" not in cells['run.metrics[["c_td", "c_td_low", "c_td_high", "nll", "nll_low", "nll_high"]].round(3)'].text
    )
    assert "p1" in cells['predictions.table.drop(columns="curve").T'].text
    assert "p2" in cells["predictions.not_scored"].text
    explained = cells['model.explain(events[events["subject_id"] == "p1"])'].text
    assert all(code in explained for code in ("LOINC/8302-2", "LOINC/29463-7", "LOINC/8480-6", "LOINC/72166-2"))
