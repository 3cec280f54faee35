"""Fixtures shared by the tests that run the command itself, and by those that open pages in a browser."""

import gc
import os
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra

from survlstm.cli.main import main
from tests.browser import CHROMIUM, DESKTOP
from tests.one_pixel import draw_one_pixel
from tests.parsed_once import parse_once


def pytest_collection():
    """A full collection looks at all that was imported and collected, half a second a time, and none of it ends."""
    gc.disable()


def pytest_collection_finish():
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _configs_parsed_once():
    with pytest.MonkeyPatch.context() as patch:
        parse_once(patch)
        yield


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory):
    """One cache for the session and all its workers, so that a cohort is simulated once."""
    base = tmp_path_factory.getbasetemp()
    # A worker's folder lies in the one of the session.
    cache = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache"
    cache.mkdir(exist_ok=True)
    return cache


@pytest.fixture(scope="session")
def mimic():
    """The MIMIC-IV demo as a MEDS dataset: the folder beside the checkout."""
    folder = Path(__file__).parents[2] / "shared" / "data" / "mimic_iv_demo_meds"
    if not folder.is_dir():
        pytest.skip(f"needs the MIMIC-IV demo as a MEDS dataset in {folder}")
    return folder


@pytest.fixture
def survlstm(monkeypatch, tmp_path, shared_cache):
    """The command, run from an empty folder; returns its exit code. The PNG files of figures are one pixel."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SURVLSTM_CACHE_DIR", str(shared_cache))
    monkeypatch.setattr("sys.argv", ["survlstm"])
    draw_one_pixel(monkeypatch)

    def run(*words):
        try:
            main(list(words))
        except SystemExit as ended:
            return ended.code
        finally:
            GlobalHydra.instance().clear()
        return 0

    return run


@pytest.fixture(scope="module")
def browser():
    """One browser for the module; a container's root has no sandbox."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


def _open(browser, address, *, width, scheme):
    """A new page in a context of its own, with what it logs (``said``) and what it requests (``asked``)."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.said, page.asked = [], []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("request", lambda asked: page.asked.append(asked.url))
    page.goto(address if isinstance(address, str) else address.as_uri(), wait_until="load")
    return page


@pytest.fixture
def opened(browser, pages):
    """Open one of the module's ``pages``, files or URLs; the test may change what it opened."""
    contexts = []

    def open_page(name, width=DESKTOP, scheme="light"):
        page = _open(browser, pages[name], width=width, scheme=scheme)
        contexts.append(page.context)
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def viewed(browser, pages):
    """As ``opened``, but a page is loaded once for the module, so that a test only reads it."""
    loaded = {}

    def view_page(name, width=DESKTOP, scheme="light"):
        key = (name, width, scheme)
        if key not in loaded:
            loaded[key] = _open(browser, pages[name], width=width, scheme=scheme)
        return loaded[key]

    yield view_page
    for page in loaded.values():
        page.context.close()
