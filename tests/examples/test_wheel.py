"""The wheel, installed elsewhere, trains from an empty folder: conf travels inside the package."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_wheel_installed_elsewhere_runs_the_smoke_experiment(tmp_path, shared_cache):
    def run(*words, **environment):
        command = [sys.executable, *words]
        done = subprocess.run(
            command, cwd=empty, env={**os.environ, **environment}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    empty, elsewhere = tmp_path / "empty", tmp_path / "elsewhere"
    empty.mkdir()
    run("-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT))
    (wheel,) = tmp_path.glob("survlstm-*.whl")
    run("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(elsewhere), str(wheel))
    where = run(
        "-c", "import survlstm.config.conf_dir as c; print(c.__file__, c.conf_dir())", PYTHONPATH=str(elsewhere)
    )
    assert where.split() == [
        str(elsewhere / "survlstm" / "config" / "conf_dir.py"),
        str(elsewhere / "survlstm" / "conf"),
    ]
    shown = run(
        "-m",
        "survlstm",
        "train",
        "experiment=smoke",
        "evaluation.baselines=[]",
        PYTHONPATH=str(elsewhere),
        SURVLSTM_CACHE_DIR=str(shared_cache),
    )
    assert "Training complete!" in shown
    assert len(list(empty.glob("outputs/*/*/metrics.json"))) == 1
