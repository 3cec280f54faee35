"""docs/walk_through.md, run from top to bottom in an empty folder, on the real cohort of 106 where it is there."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[2]
REAL = ROOT.parent / "shared" / "data" / "cohort_106"


def commands():
    """The blocks of the page that are to be run, as one script."""
    page = (ROOT / "docs" / "walk_through.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```(bash|python)\n(.*?)```", page, flags=re.DOTALL)
    assert [kind for kind, _ in blocks] == ["bash"] * 7 + ["python", "bash"]
    # The first one installs survlstm.
    assert blocks.pop(0)[1].startswith("bash scripts/bootstrap")
    return "set -euo pipefail\n" + "\n".join(
        block if kind == "bash" else f"python - <<'BLOCK'\n{block}BLOCK" for kind, block in blocks
    )


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def test_every_command_of_the_page_runs(tmp_path, shared_cache):
    words = tmp_path / "bin"
    words.mkdir()
    for name, command in (("survlstm", f"{sys.executable} -m survlstm"), ("python", sys.executable)):
        (words / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (words / name).chmod(0o755)
    here = tmp_path / "here"
    here.mkdir()
    environment = {
        "PATH": f"{words}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "SURVLSTM_CACHE_DIR": str(shared_cache),
        "PORT": str(free_port()),
        **({"DATA": str(REAL)} if REAL.is_dir() else {}),
    }
    done = subprocess.run(
        ["bash"], input=commands(), cwd=here, env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    assert [row["subject_id"] for row in answer["predictions"]] == ["p1"]
    assert 0 < answer["predictions"][0]["risk"] < 1
    scored, left_out = pd.read_parquet(here / "predictions.parquet"), pd.read_csv(here / "predictions.not_scored.csv")
    assert len(scored) + len(left_out) == 106
    for file in (
        "bundle/MODEL_CARD.md",
        "bundle/model.onnx",
        "survival_curves/survival.html",
        "run/explanation/explanation.html",
    ):
        assert (here / file).stat().st_size > 1000
    assert "ntegrated gradients" in (here / "run" / "report.html").read_text(encoding="utf-8")
