"""Every command of README.md and the pages is run, page by page and line by line, in a folder with what it names."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from survlstm.data.sources.simulated import simulated_cohort
from tests.docs.cheap_commands import ELSEWHERE, PYTHON, cheap, outputs
from tests.docs.code_blocks import ROOT, Block, blocks
from tests.docs.shell import Line, lines
from tests.examples.conftest import COHORT, run_all
from tests.examples.test_own_classes import write_events

BARE = ["data=tiny", "trainer=smoke", "evaluation.baselines=[]", "evaluation.resamples=100"]
PAGES = sorted({block.page for block in blocks("bash")} - ELSEWHERE.keys())
OWN_CLASSES = "docs/own_classes.md"
# Seconds for one line on a busy machine.
PATIENCE = 300
# The columns of pbc2 that scripts/pbc2_to_meds.py reads.
LABORATORY = ("serBilir", "serChol", "albumin", "alkaline", "SGOT", "platelets", "prothrombin", "histologic")
SIGNS = ("ascites", "hepatomegaly", "spiders", "edema")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Path:
    """A run, its bundle, a sweep that lacks a job, another export and the predictions for it; only read."""
    folder = tmp_path_factory.mktemp("made")
    other = simulated_cohort(shared_cache, **(COHORT | {"seed": 61}))
    (folder / "DIR").symlink_to(other)
    (folder / "LARGE_DIR").symlink_to(simulated_cohort(shared_cache, **(COHORT | {"patients": 400})))
    for name, export, times in (
        ("subjects.csv", "DIR", {}),
        ("labels.csv", "LARGE_DIR", {"prediction_time": "2019-01-01"}),
    ):
        ids = pd.read_csv(folder / export / "patients.csv")["Id"]
        pd.DataFrame({"subject_id": ids, **times}).to_csv(folder / name, index=False)
    write_events(simulated_cohort(shared_cache, **(COHORT | {"patients": 120})), folder / "FOLDER")
    run_all(
        folder,
        shared_cache,
        ["train", "experiment=smoke", "output_dir=RUN", "evaluation.baselines=[record_length]"],
        ["export", "run=RUN", "output=BUNDLE.zip"],
        ["predict", "bundle=BUNDLE.zip", "data.path=DIR", "output=scored.csv"],
        ["train", "-m", *BARE, "seed=1,2", "output_dir=SWEEP"],
        ["convert", "data=synthea", "data.path=LARGE_DIR", "output=MEDS_DIR"],
    )
    write_splits(folder / "MEDS_DIR")
    write_pbc2(folder)
    shutil.rmtree(folder / "SWEEP" / "seed=2")
    zipfile.ZipFile(folder / "BUNDLE.zip").extractall(folder / "BUNDLE")
    for name in ("OTHER_RUN", "THIRD_RUN"):
        shutil.copytree(folder / "RUN", folder / name)
    return folder


def write_splits(folder: Path) -> None:
    """Assign the subjects of a MEDS dataset to train, tuning and held_out."""
    ids = sorted(set(pd.concat(pd.read_parquet(path)["subject_id"] for path in folder.glob("data/*.parquet"))))
    names = [("train", "train", "tuning", "held_out")[number % 4] for number in range(len(ids))]
    pd.DataFrame({"subject_id": ids, "split": names}).to_parquet(folder / "metadata" / "subject_splits.parquet")


def write_pbc2(folder: Path) -> None:
    """Write a table of invented patients with the columns of pbc2, and the MEDS dataset that the script makes of it."""
    patients, visits = 120, 8
    random = np.random.default_rng(0)
    subject = np.repeat(np.arange(patients), visits)
    status = np.repeat(random.choice(["alive", "dead", "transplanted"], patients), visits)
    columns = {
        "id": subject + 1,
        "years": np.repeat(random.uniform(5, 10, patients), visits),
        "status": status,
        "drug": "placebo",
        "age": 50.0,
        "sex": np.where(subject % 2, "female", "male"),
        "year": np.tile(np.arange(visits) * 0.6, patients),
        **{name: random.uniform(1, 9, patients * visits) for name in LABORATORY},
        **{name: random.choice(["Yes", "No"], patients * visits) for name in SIGNS},
    }
    pd.DataFrame(columns).to_csv(folder / "pbc2.csv", index=False)
    script = [sys.executable, ROOT / "scripts" / "pbc2_to_meds.py", folder / "pbc2.csv", folder / "PBC2_DIR"]
    subprocess.run(script, check=True, capture_output=True)


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    """A folder with a copy of all that, and with the examples and the scripts."""
    folder = tmp_path / "place"
    shutil.copytree(made, folder, symlinks=True)
    for name in ("examples", "scripts"):
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.fixture
def environment(tmp_path: Path, shared_cache: Path) -> dict[str, str]:
    """The environment of a shell that finds survlstm, python and torchrun."""
    programs = tmp_path / "bin"
    programs.mkdir()
    calls = {"survlstm": " -m survlstm", "python": "", "torchrun": " -m torch.distributed.run"}
    for name, words in calls.items():
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable}{words} "$@"\n')
        (programs / name).chmod(0o755)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = str(taken.getsockname()[1])
    return os.environ | {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "SURVLSTM_CACHE_DIR": str(shared_cache),
        "OMP_NUM_THREADS": "1",
        "PORT": port,
    }


def blocks_of(page: str, *languages: str) -> list[Block]:
    return [block for block in blocks(*languages) if block.page == page]


def typed_in(page: str, place: Path) -> Iterator[Line]:
    """Yield what is run for each line of a page."""
    first, second = pd.read_csv(place / "scored.csv")["subject_id"][:2]
    for block in blocks_of(page, "bash"):
        for number, line in enumerate(lines(block)):
            values = {"FIRST_ID": first, "SECOND_ID": second, "OUTPUT_FOLDER": f"OUTPUT_{number}"}
            text = cheap(line.text)
            for name, value in values.items():
                text = text.replace(name, value)
            yield Line(line.place, text)


def run_line(line: Line, place: Path, environment: dict[str, str]) -> None:
    """Run a line with bash; what it says it writes must be there afterwards."""
    script = ["bash", "-c", f"set -euo pipefail\n{line.text}"]
    done = subprocess.run(script, cwd=place, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    told = f"{line.place}: {line.text}\nends with {done.returncode}:\n{done.stdout[-1500:]}{done.stderr[-1500:]}"
    assert done.returncode == 0, told
    for name in outputs(line.text):
        assert (place / name).exists(), f"{line.place}: {line.text}\ndoes not write {name}"


class Server:
    """A server that a line starts, until the end of the ``with`` block."""

    def __init__(self, line: Line, place: Path, environment: dict[str, str]) -> None:
        script = ["bash", "-c", f"exec {line.text.lstrip()}"]
        self.process = subprocess.Popen(script, cwd=place, env=environment, stdout=subprocess.DEVNULL)
        self.line, self.port = line, environment["PORT"]

    def __enter__(self) -> None:
        end = time.monotonic() + PATIENCE
        while not self._is_healthy():
            assert self.process.poll() is None, f"{self.line.place}: {self.line.text}\nended before it served"
            assert time.monotonic() < end, f"{self.line.place}: {self.line.text}\ndoes not answer"
            time.sleep(0.2)

    def __exit__(self, *error: object) -> None:
        self.process.terminate()
        self.process.wait()

    def _is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5) as answer:
                return b'"ok"' in answer.read()
        except (urllib.error.URLError, ConnectionError):
            return False


def prepare(page: str, place: Path, environment: dict[str, str]) -> None:
    """Make what a page has made in its text, and remove what its lines will make."""
    if page == OWN_CLASSES:
        model, settings = blocks_of(page, "python")[0], blocks_of(page, "yaml")[0]
        (place / "conf" / "model").mkdir(parents=True)
        (place / "conf" / "own_gru.py").write_text(model.text)
        (place / "conf" / "model" / "own_gru.yaml").write_text(settings.text)
        for name in ("RUN", "BUNDLE"):
            shutil.rmtree(place / name)
        own = "--config-dir conf 'allow=[own_gru.OwnGRU]'"
        train = f"survlstm train --config-dir conf model=own_gru {' '.join(BARE)} output_dir=RUN"
        run_line(Line("the run of the page", train), place, environment)
        run_line(Line("the bundle of the page", f"survlstm export run=RUN output=BUNDLE {own}"), place, environment)
    for line in typed_in(page, place):
        for name in outputs(line.text):
            shutil.rmtree(place / name, ignore_errors=True)


def python_line(page: str) -> Line:
    """The Python blocks of a page as one script, with the folder of the user's classes on the path."""
    code = "\n".join(block.text for block in blocks_of(page, "python"))
    if page == OWN_CLASSES:
        code = code.replace('"bundle"', '"BUNDLE"')
    return Line(page, f"PYTHONPATH=$PYTHONPATH:conf python - <<'BLOCKS'\n{code}\nassert predictor.grid.size\nBLOCKS")


@pytest.fixture(scope="module")
def has_run() -> set[str]:
    """The lines that have been run; a page that repeats one of another page does not run it again."""
    return set()


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_runs(page, place, environment, has_run):
    prepare(page, place, environment)
    for line in typed_in(page, place):
        command = line.text.partition("#")[0].strip()
        if command in has_run and not outputs(command):
            continue
        has_run.add(command)
        if "survlstm serve" in line.text:
            with Server(line, place, environment):
                pass
        elif "localhost" in line.text:
            with Server(Line(line.place, "survlstm serve bundle=BUNDLE port=$PORT"), place, environment):
                run_line(line, place, environment)
        else:
            run_line(line, place, environment)
    if page in PYTHON:
        run_line(python_line(page), place, environment)
