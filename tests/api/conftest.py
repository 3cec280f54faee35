"""The code of docs/python.md, run once for the session; the other tests look at what it made."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "python.md"


def code_blocks():
    """The Python code of the page, block by block."""
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(scope="session")
def page(tmp_path_factory, shared_cache):
    """The names that the code of the page defines, and ``folder``, where it ran; only read."""
    folder = tmp_path_factory.mktemp("page")
    names = {"folder": folder}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("SURVLSTM_CACHE_DIR", str(shared_cache))
        for number, block in enumerate(code_blocks()):
            exec(compile(block, f"{PAGE.name}, block {number}", "exec"), names)
    return names


@pytest.fixture
def workplace(monkeypatch, tmp_path, shared_cache):
    """An empty working folder with the cache of the session."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SURVLSTM_CACHE_DIR", str(shared_cache))
    return tmp_path
