"""An empty workplace in which the names that the pages use for folders and files exist."""

import json
import shutil
from pathlib import Path

import pytest

from tests.docs.code_blocks import ROOT

# What the pages call a user's own run, bundle, export, sweep or search.
FOLDERS = (
    "RUN",
    "BUNDLE",
    "DIR",
    "FOLDER",
    "MEDS_DIR",
    "PBC2_DIR",
    "EXPORT",
    "NEW",
    "STUDY",
    "BUNDLE.zip",
    "run",
    "bundle",
    "eunomia.duckdb",
    "planted",
    "new_patients",
    "outputs",
)


@pytest.fixture
def named_folders(tmp_path: Path) -> Path:
    """A folder with one of each, empty: enough to compose and validate the config of any command."""
    for name in FOLDERS:
        (tmp_path / name).mkdir()
    for name in ("subjects.csv", "labels.csv"):
        (tmp_path / name).touch()
    (tmp_path / "SWEEP").mkdir()
    (tmp_path / "SWEEP" / "sweep.json").write_text(json.dumps({"words": ["data=tiny", "seed=1,2"]}))
    (tmp_path / "STUDY" / "experiment").mkdir()
    (tmp_path / "STUDY" / "experiment" / "NAME.yaml").write_text("# @package _global_\nmodel:\n  dropout: 0.5\n")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    shutil.copytree(ROOT / "examples" / "own_classes", tmp_path / "conf")
    return tmp_path
