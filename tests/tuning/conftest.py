"""What the tests of a search share."""

import pytest

from tests.tuning.bowl import make_bare


@pytest.fixture
def bare(monkeypatch):
    """A search without what takes seconds and has tests of its own."""
    make_bare(monkeypatch)
