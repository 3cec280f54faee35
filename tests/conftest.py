"""Fixtures shared by the tests that run the command itself."""

import pytest
from hydra.core.global_hydra import GlobalHydra

from survlstm.cli import main


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory):
    """One cache for the session, so that a cohort is simulated once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def survlstm(monkeypatch, tmp_path, shared_cache):
    """The command, run from an empty folder; returns its exit code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SURVLSTM_CACHE_DIR", str(shared_cache))
    monkeypatch.setattr("sys.argv", ["survlstm"])

    def run(*words):
        try:
            main(list(words))
        except SystemExit as ended:
            return ended.code
        finally:
            GlobalHydra.instance().clear()
        return 0

    return run
