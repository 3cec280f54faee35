import pytest

from survlstm.evaluation.baselines import boosting


@pytest.fixture(autouse=True)
def _few_trees(monkeypatch):
    """A few trees suffice for these cohorts, and the other ones would take most of the time of the tests."""
    monkeypatch.setattr(boosting, "MOST_TREES", 40)
