"""The page in a real browser: nothing overflows, nothing is fetched, both colour schemes are legible, it prints."""

import shutil

import pytest
from playwright.sync_api import sync_playwright

from tests.report import sample
from tests.report.test_page import report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium here; scripts/bootstrap dev installs it on Debian, as root, with a network"
)
DESKTOP, PHONE = 1280, 390
VERDICTS = {"visit": sample.visit_verdict, "landmark": sample.landmark_verdict, "bare": sample.bare_verdict}


@pytest.fixture(scope="module")
def browser():
    """One browser for the module; a container's root has no sandbox."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The three pages; only read."""
    return {
        name: report(tmp_path_factory.mktemp(name), verdict(), history=None if name == "bare" else sample.history())
        for name, verdict in VERDICTS.items()
    }


@pytest.fixture
def opened(browser, pages):
    """Open a page, collecting what the browser complains about and asks for."""
    contexts = []

    def open_page(name, width=DESKTOP, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.said, page.asked = [], []
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.on("request", lambda asked: page.asked.append(asked.url))
        page.goto(pages[name].as_uri(), wait_until="load")
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("name", VERDICTS)
def test_the_browser_complains_of_nothing_and_fetches_the_file_alone(opened, pages, name):
    page = opened(name)
    assert page.said == []
    assert [url for url in page.asked if not url.startswith("data:")] == [pages[name].as_uri()]


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
@pytest.mark.parametrize("name", VERDICTS)
def test_nothing_overflows_and_every_figure_is_seen(opened, name, width):
    page = opened(name, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    boxes = [figure.bounding_box() for figure in page.locator("figure svg").all()]
    assert len(boxes) == {"visit": 19, "landmark": 9, "bare": 1}[name]
    for box in boxes:
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert min(box["width"], box["height"]) > 100


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
@pytest.mark.parametrize("name", VERDICTS)
def test_no_word_of_a_figure_is_cut_or_too_small(opened, name, width):
    found = opened(name, width).evaluate(
        """() => [...document.querySelectorAll("figure svg")].flatMap(svg => {
            const outer = svg.getBoundingClientRect();
            return [...svg.querySelectorAll("text")].map(text => {
                const box = text.getBoundingClientRect();
                const scale = outer.width / svg.viewBox.baseVal.width;
                const out = Math.max(outer.left - box.left, box.right - outer.right,
                                     outer.top - box.top, box.bottom - outer.bottom);
                return [text.textContent, out, parseFloat(getComputedStyle(text).fontSize) * scale];
            });
        })"""
    )
    assert found
    assert [text for text, out, _ in found if out > 1] == []
    assert [text for text, _, size in found if size < 7.9] == []


def test_only_their_own_boxes_scroll_wide_tables_on_a_phone(opened):
    page = opened("visit", PHONE)
    wide = page.evaluate(
        """() => [...document.querySelectorAll("table")].map(table => {
            const box = table.closest(".scroll");
            return [box !== null, box && box.getBoundingClientRect().right <= innerWidth, box && box.tabIndex];
        })"""
    )
    assert wide
    assert all(inside and fits and focus == 0 for inside, fits, focus in wide)


CONTRAST = """names => {
    const luminance = colour => {
        const parts = colour.match(/[\\d.]+/g).slice(0, 3).map(part => part / 255)
            .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
    };
    const shown = value => {
        const probe = document.body.appendChild(document.createElement("p"));
        probe.style.color = value;
        const colour = getComputedStyle(probe).color;
        probe.remove();
        return luminance(colour);
    };
    const ratio = (one, other) => (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    return names.map(name => Math.min(...["--paper", "--shade"].map(
        behind => ratio(shown(`var(${name})`), shown(`var(${behind})`)))));
}"""


def test_both_colour_schemes_are_legible_and_differ(opened):
    names = ["--ink", "--muted", "--blue", "--orange", "--green", "--purple", "--red"]
    backgrounds = []
    for scheme in ("light", "dark"):
        page = opened("visit", scheme=scheme)
        backgrounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        ratios = dict(zip(names, page.evaluate(CONTRAST, names), strict=True))
        assert min(ratios.values()) >= 4.5, (scheme, ratios)
    assert backgrounds == ["rgb(255, 255, 255)", "rgb(20, 24, 28)"]


def test_figures_take_the_colours_of_the_scheme(opened):
    paint = "getComputedStyle(document.querySelector('figure svg text')).fill"
    light, dark = (opened("visit", scheme=scheme).evaluate(paint) for scheme in ("light", "dark"))
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
