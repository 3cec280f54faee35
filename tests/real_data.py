"""Folders of the real cohorts beside the checkout; a test that needs a missing one is skipped."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2] / "shared" / "data"


def shared_data(name: str) -> Path:
    """Return the folder of a cohort, or skip the test."""
    folder = SHARED / name
    if not folder.exists():
        pytest.skip(f"the cohort {name} is not in the folder shared/data beside the checkout")
    return folder
