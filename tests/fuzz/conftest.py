"""How long the fuzzers run, and the secret that no file may learn."""

import pytest

from tests.fuzz.mutations import SECRET


@pytest.fixture(params=[pytest.param(1, id="short"), pytest.param(40, id="long", marks=pytest.mark.slow)])
def times(request):
    """How often a bounded number of changes is made; the long version belongs to -m slow."""
    return request.param


@pytest.fixture(autouse=True)
def secret(monkeypatch):
    """What no sentence and no value may ever hold."""
    monkeypatch.setenv("SURVLSTM_FUZZ_SECRET", SECRET)
