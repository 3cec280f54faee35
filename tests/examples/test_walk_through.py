"""docs/walk_through.md, run from top to bottom in an empty folder, on the real cohort of 106 where it is there."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[2]
REAL = ROOT.parent / "shared" / "data" / "cohort_106"
# A process needs seconds to import torch and the rest. The script therefore hands each command but the server to the
# test's own process: the words, each with a NUL behind it, through one pipe, and the exit code through another.
HANDED_OVER = """#!/bin/sh
[ "$1" != serve ] || exec {python} -m survlstm "$@"
printf '%s\\0' "$@" '' > {words}
read -r code < {code}
exit "$code"
"""


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


def run_script(script, survlstm, folder, **environment):
    """Run a script whose commands ``survlstm`` are done by the fixture; its exit code and its output."""
    words, code, programs, output = (folder / name for name in ("words", "code", "bin", "output"))
    programs.mkdir()
    os.mkfifo(words)
    os.mkfifo(code)
    for name, text in (
        ("survlstm", HANDED_OVER.format(python=sys.executable, words=words, code=code)),
        ("python", f'#!/bin/sh\nexec {sys.executable} "$@"\n'),
    ):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    environment = os.environ | environment | {"PATH": f"{programs}:{os.environ['PATH']}"}
    reading = os.open(words, os.O_RDONLY | os.O_NONBLOCK)
    with output.open("w") as stream:
        bash = subprocess.Popen(["bash", "-c", script], env=environment, stdout=stream, stderr=subprocess.STDOUT)
        while bash.poll() is None:
            handed = os.read(reading, 65536)
            if handed:
                code.write_text(f"{survlstm(*handed.decode().split(chr(0))[:-2])}\n")
            time.sleep(0.02)
    os.close(reading)
    return bash.returncode, output.read_text()


def test_every_command_of_the_page_runs(survlstm, tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    real = {"DATA": str(REAL)} if REAL.is_dir() else {}
    code, shown = run_script(commands(), survlstm, tmp_path, PYTHONPATH=str(ROOT), PORT=str(free_port()), **real)
    assert code == 0, shown[-3000:]
    answer = json.loads(shown.strip().splitlines()[-1])
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
