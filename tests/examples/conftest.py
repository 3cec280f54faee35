"""A trained model and its bundle, for the commands that use one."""

import pytest

from survlstm.data.sources.simulated import simulated_cohort

COHORT = {"patients": 60, "history_years": 10.0, "seed": 60, "end_date": "2024-04-01"}


@pytest.fixture(scope="session")
def trained(tmp_path_factory, shared_cache):
    """A smoke run, its bundle and the export it was trained on; only read."""
    from hydra.core.global_hydra import GlobalHydra

    from survlstm.cli.main import main

    folder = tmp_path_factory.mktemp("trained")
    words = ["experiment=smoke", f"output_dir={folder / 'run'}", f"cache_dir={shared_cache}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("sys.argv", ["survlstm"])
        main(["train", *words])
        GlobalHydra.instance().clear()
        main(["export", f"run={folder / 'run'}", f"output={folder / 'bundle.zip'}", f"cache_dir={shared_cache}"])
        GlobalHydra.instance().clear()
    return folder / "run", folder / "bundle.zip", simulated_cohort(shared_cache, **COHORT)
