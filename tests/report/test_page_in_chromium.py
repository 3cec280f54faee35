"""The page in a real browser: nothing overflows, nothing is fetched, both colour schemes are legible, it prints."""

import pytest

from survlstm.report.task import BANNER
from tests.browser import (
    DESKTOP,
    NEEDS_CHROMIUM,
    PHONE,
    assert_both_schemes_are_legible,
    assert_only_boxes_scroll,
    assert_words_are_whole_and_legible,
)
from tests.report import sample
from tests.report.test_page import report

pytestmark = NEEDS_CHROMIUM
VERDICTS = {"visit": sample.visit_verdict, "landmark": sample.landmark_verdict, "bare": sample.bare_verdict}


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The three pages; only read."""
    return {
        name: report(
            tmp_path_factory.mktemp(name),
            summary(),
            history=None if name == "bare" else sample.history(),
            description=sample.description("" if name == "bare" else BANNER),
        )
        for name, summary in VERDICTS.items()
    }


@pytest.mark.parametrize("name", VERDICTS)
def test_the_browser_complains_of_nothing_and_fetches_the_file_alone(viewed, pages, name):
    page = viewed(name)
    assert page.said == []
    assert [url for url in page.asked if not url.startswith("data:")] == [pages[name].as_uri()]


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
@pytest.mark.parametrize("name", VERDICTS)
def test_nothing_overflows_and_every_figure_is_seen(viewed, name, width):
    page = viewed(name, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    boxes = [figure.bounding_box() for figure in page.locator("figure svg").all()]
    assert len(boxes) == {"visit": 19, "landmark": 9, "bare": 1}[name]
    for box in boxes:
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert min(box["width"], box["height"]) > 100


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
@pytest.mark.parametrize("name", VERDICTS)
def test_no_word_of_a_figure_is_cut_or_too_small(viewed, name, width):
    assert_words_are_whole_and_legible(viewed(name, width))


def test_only_their_own_boxes_scroll_wide_tables_on_a_phone(viewed):
    assert_only_boxes_scroll(viewed("visit", PHONE))


def test_both_colour_schemes_are_legible_and_differ(viewed):
    names = ["--ink", "--muted", "--blue", "--orange", "--green", "--purple", "--red"]
    assert_both_schemes_are_legible(lambda scheme: viewed("visit", scheme=scheme), names)


def test_figures_take_the_colours_of_the_scheme(viewed):
    paint = "getComputedStyle(document.querySelector('figure svg text')).fill"
    light, dark = (viewed("visit", scheme=scheme).evaluate(paint) for scheme in ("light", "dark"))
    assert light == "rgb(27, 33, 38)"
    assert dark == "rgb(231, 235, 238)"


@pytest.mark.parametrize("name", VERDICTS)
def test_it_prints_in_light_colours_with_the_folded_parts_open(opened, tmp_path, name):
    page = opened(name, scheme="dark")
    printed = page.pdf(path=tmp_path / "report.pdf", format="A4")
    assert printed.startswith(b"%PDF")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator("details pre").evaluate("node => node.getBoundingClientRect().height") > 0
    assert page.locator(".scroll").first.evaluate("node => getComputedStyle(node).overflowX") == "visible"


def test_folded_parts_open_without_a_script(opened):
    page = opened("visit")
    config = page.locator("details", has_text="The composed config")
    assert not config.locator("pre").is_visible()
    config.locator("summary").click()
    assert "min_visits: 3" in config.locator("pre").inner_text()
