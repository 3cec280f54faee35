"""A trained model and its bundle, for the commands that use one."""

import pytest
from hydra.core.global_hydra import GlobalHydra

from survlstm.cli.main import main
from survlstm.data.sources.simulated import simulated_cohort
from tests.one_pixel import draw_one_pixel

COHORT = {"patients": 60, "history_years": 10.0, "seed": 60, "end_date": "2024-04-01"}


def run_all(folder, cache, *commands):
    """Run each command, given as a list of words, in ``folder``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("SURVLSTM_CACHE_DIR", str(cache))
        patch.setattr("sys.argv", ["survlstm"])
        draw_one_pixel(patch)
        for words in commands:
            main(words)
            GlobalHydra.instance().clear()


@pytest.fixture(scope="session")
def trained(tmp_path_factory, shared_cache):
    """A smoke run, its bundle and the export it was trained on; only read."""
    folder = tmp_path_factory.mktemp("trained")
    run, bundle = folder / "run", folder / "bundle.zip"
    run_all(
        folder,
        shared_cache,
        ["train", "experiment=smoke", "evaluation.baselines=[logistic_hazard]", f"output_dir={run}"],
        ["export", f"run={run}", f"output={bundle}"],
    )
    return run, bundle, simulated_cohort(shared_cache, **COHORT)
