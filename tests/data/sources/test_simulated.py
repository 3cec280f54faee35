"""Test simulated_cohort: it simulates once, replaces a damaged cohort, and keeps one that another run has finished."""

import logging
import shutil

import pytest

import survlstm.simulation
from survlstm.data.sources.simulated import simulated_cohort
from survlstm.utils.errors import ConfigError

SETTINGS = {"patients": 5, "seed": 0, "history_years": 10.0, "end_date": "2024-04-01"}


def test_a_cohort_is_simulated_once_and_the_log_says_so(tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="survlstm"):
        first, again = (simulated_cohort(tmp_path, **SETTINGS) for _ in range(2))
    assert first == again
    assert caplog.text.count("Simulating 5 patients") == 1
    assert "taken from the cache" in caplog.text


def test_other_settings_make_another_cohort(tmp_path):
    assert simulated_cohort(tmp_path, **SETTINGS) != simulated_cohort(tmp_path, **SETTINGS | {"seed": 1})


def test_a_broken_cohort_is_made_anew(tmp_path):
    folder = simulated_cohort(tmp_path, **SETTINGS)
    before = (folder / "encounters.csv").read_bytes()
    (folder / "patients.csv").unlink()
    (folder / "encounters.csv").write_text("torn")
    assert simulated_cohort(tmp_path, **SETTINGS) == folder
    assert (folder / "encounters.csv").read_bytes() == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_cohort_with_a_changed_cell_is_made_anew(tmp_path, caplog):
    folder = simulated_cohort(tmp_path, **SETTINGS)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    text = before["conditions.csv"]
    (folder / "conditions.csv").write_bytes(text[:-5] + bytes([text[-5] ^ 1]) + text[-4:])
    caplog.clear()
    assert simulated_cohort(tmp_path, **SETTINGS) == folder
    assert "can't be used (conditions.csv is not what was written: its checksum is wrong)" in caplog.text
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    (folder / "sums.json").write_text('{"../patients.csv": "0"}')
    assert simulated_cohort(tmp_path, **SETTINGS) == folder
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_cache_that_is_removed_during_the_simulation_is_an_error(tmp_path, monkeypatch):
    simulate = survlstm.simulation.simulate_cohort

    def during(output, **settings):
        simulate(output, **settings)
        shutil.rmtree(tmp_path / "cache")

    monkeypatch.setattr(survlstm.simulation, "simulate_cohort", during)
    with pytest.raises(
        ConfigError, match=r"a simulated cohort must be kept in .*cohorts; the system says: .*cache_dir="
    ):
        simulated_cohort(tmp_path / "cache", **SETTINGS)


@pytest.mark.parametrize("meanwhile", ["before the simulation", "during it"])
def test_a_cohort_finished_by_another_run_is_never_removed(tmp_path, monkeypatch, caplog, meanwhile):
    made = simulated_cohort(tmp_path / "elsewhere", **SETTINGS)
    folder = tmp_path / "cache" / "cohorts" / made.name
    simulate = survlstm.simulation.simulate_cohort
    marked = folder / "other run"

    def other_run_finishes(*_):
        shutil.copytree(made, folder)
        marked.touch()

    class FinishesWhileThisRunLogs(logging.Handler):
        def emit(self, record):
            if "Simulating" in record.getMessage():
                other_run_finishes()

    def during(*arguments, **settings):
        other_run_finishes()
        simulate(*arguments, **settings)

    logger = logging.getLogger("survlstm.data.sources.simulated")
    handler = FinishesWhileThisRunLogs(level=logging.INFO)
    if meanwhile == "during it":
        monkeypatch.setattr(survlstm.simulation, "simulate_cohort", during)
    else:
        caplog.set_level(logging.INFO, logger=logger.name)
        logger.addHandler(handler)
    try:
        assert simulated_cohort(tmp_path / "cache", **SETTINGS) == folder
    finally:
        logger.removeHandler(handler)
    assert marked.exists()
