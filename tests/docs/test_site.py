"""The site of docs/: it builds strictly, holds every page and every public name, asks nobody else, and fits a phone."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

import survlstm
from survlstm import survival
from tests.browser import DESKTOP, NEEDS_CHROMIUM, PHONE

ROOT = Path(__file__).parents[2]
PAGES = sorted(str(page.relative_to(ROOT / "docs").with_suffix(".html")) for page in (ROOT / "docs").rglob("*.md"))
# A page with pictures, one with the widest tables, one with long lines of code and one of the API.
SEEN = ("architecture.html", "comparisons.html", "start.html", "api/survival.html")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        ["bash", ROOT / "scripts" / "docs", "build", "--site-dir", folder], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "WARNING" not in done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site):
    return {name: site / name for name in SEEN}


def test_every_page_is_built_and_in_the_navigation(site):
    home = (site / "index.html").read_text(encoding="utf-8")
    navigation = home[home.index("<nav") : home.index("<article")]
    assert set(PAGES) <= {str(page.relative_to(site)) for page in site.rglob("*.html")}
    assert {page for page in PAGES if f'href="{page}"' not in navigation} == set()


def test_the_api_reference_has_every_public_name(site):
    api = "".join(page.read_text(encoding="utf-8") for page in (site / "api").glob("*.html"))
    shown = set(re.findall(r'id="(survlstm[\w.]+)"', api))
    ends = {name.rsplit(".", 1)[1] for name in shown if name.startswith("survlstm.survival.")}
    assert {name for name in survival.__all__ if name not in ends} == set()
    names = set(survlstm.__all__) - {"__version__", "survival", "SurvlstmError"}
    assert {name for name in names if f"survlstm.{name}" not in shown} == set()
    assert "survlstm.utils.errors.SurvlstmError" in shown


def test_docstrings_are_shown_without_markup_of_another_language(site):
    for page in (site / "api").glob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert "=====" not in text, page.name
        assert "::</p>" not in text, page.name
        # griffe shows a section that it does not know as a folded box.
        assert '<details class="example"' not in text, page.name


def test_no_page_names_a_resource_of_another_host(site):
    loaded = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*(?:src|href)=[\"']?(?:https?:)?//[^>]*>")
    found = {page.name: loaded.findall(page.read_text(encoding="utf-8")) for page in site.rglob("*.html")}
    assert {name: tags for name, tags in found.items() if tags} == {}


@NEEDS_CHROMIUM
@pytest.mark.parametrize("width", [PHONE, DESKTOP])
@pytest.mark.parametrize("name", SEEN)
def test_a_page_fits_the_window_and_requests_nothing_from_elsewhere(viewed, name, width):
    page = viewed(name, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert [url for url in page.asked if not url.startswith(("file:", "data:", "blob:"))] == []


def test_the_citation_and_the_license_are_those_of_the_package():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {"cff-version", "message", "title", "authors", "type"} <= set(citation)
    assert citation["version"] == survlstm.__version__
    assert citation["license"] == project["license"] == "MIT"
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in project["authors"]]
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT License\n\nCopyright (c) 2026")


def test_the_changelog_has_the_version_of_the_package():
    titles = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert titles[0] == "Unreleased"
    assert survlstm.__version__ in titles


def test_the_hooks_before_a_commit_are_tools_of_the_environment():
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert repository["repo"] == "local"
    assert {hook["entry"].split()[0] for hook in repository["hooks"]} == {".venv/bin/ruff", ".venv/bin/mypy"}
