"""The summary in a real browser: nothing overflows, nothing is fetched, both colour schemes are legible, it prints."""

import pytest

from survlstm.sweeps.summary import summarize
from tests.browser import (
    DESKTOP,
    NEEDS_CHROMIUM,
    PHONE,
    assert_both_schemes_are_legible,
    assert_only_boxes_scroll,
    assert_words_are_whole_and_legible,
)
from tests.sweeps import sample

pytestmark = NEEDS_CHROMIUM


def crowded_sweep(folder):
    """Thirty jobs over many keys with names and values that are long, wide or marked up."""
    for number in range(30):
        overrides = [f"section.a_rather_long_name_of_a_key_{key}={(number >> key % 5) & 1}e-05" for key in range(22)]
        overrides += [f"model.name='Größe <b>{'WMQ'[number % 3] * 60}</b>, a=b'", f"seed={number}"]
        name = f"a-rather-long-name,key=value {number}/job"
        sample.write_run(folder / name, overrides, val=(2 + number / 31, 0.8 - number / 100))
    sentence = f"SourceError: {'/a_long_path' * 30} must be a folder"
    for number in range(3):
        sample.write_unfinished(folder / f"failed {number}", overrides, "failed", sentence, epochs=0)
    return folder


def fine_grid(folder):
    """Nine by twelve values, the finest heat map that is drawn."""
    for number in range(9 * 12):
        overrides = [f"model.dropout={number % 9 / 10}", f"optimizer.lr={10 ** -(1 + number // 9 / 4):.3g}"]
        sample.write_run(folder / str(number), overrides, val=(2 + (number * 7 % 31) / 50, 0.8))
    return folder


def bare_sweep(folder):
    """One run that failed before it began."""
    sample.write_unfinished(folder / "0", [], "failed", "E: no", epochs=0)
    return folder


SWEEPS = {
    "grid": (sample.grid_sweep, 3),
    "repeats": (sample.repeats_sweep, 2),
    "crowded": (crowded_sweep, 2),
    "fine": (fine_grid, 3),
    "bare": (bare_sweep, 0),
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The pages; only read."""
    folders = {name: make(tmp_path_factory.mktemp(name)) for name, (make, _) in SWEEPS.items()}
    for folder in folders.values():
        summarize(folder)
    return {name: folder / "summary.html" for name, folder in folders.items()}


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
@pytest.mark.parametrize("name", SWEEPS)
def test_nothing_overflows_complains_or_is_fetched_and_every_figure_is_seen(viewed, pages, name, width):
    page = viewed(name, width)
    assert page.said == []
    assert [url for url in page.asked if not url.startswith("data:")] == [pages[name].as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # A folded part overflows no less when it is opened.
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    boxes = [figure.bounding_box() for figure in page.locator("figure svg").all()]
    assert len(boxes) == SWEEPS[name][1]
    for box in boxes:
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert min(box["width"], box["height"]) > 80
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = false)")


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
@pytest.mark.parametrize("name", [name for name, (_, figures) in SWEEPS.items() if figures])
def test_no_word_of_a_figure_is_cut_or_too_small(viewed, name, width):
    assert_words_are_whole_and_legible(viewed(name, width))


@pytest.mark.parametrize("name", ["grid", "crowded"])
def test_only_their_own_boxes_scroll_wide_tables_on_a_phone(viewed, name):
    assert_only_boxes_scroll(viewed(name, PHONE))


def test_what_matters_stands_in_the_first_columns_of_a_phone(viewed):
    right = (
        viewed("grid", PHONE)
        .locator("th:has-text('val nll')")
        .first.evaluate("node => node.getBoundingClientRect().right")
    )
    assert right <= PHONE


def test_both_colour_schemes_are_legible_and_differ(viewed):
    names = ["--ink", "--muted", "--blue", "--orange", "--green", "--red"]
    assert_both_schemes_are_legible(lambda scheme: viewed("grid", scheme=scheme), names)


def test_words_on_the_deepest_cell_are_legible_in_both_schemes(opened):
    for scheme in ("light", "dark"):
        ratio = opened("grid", scheme=scheme).evaluate(
            """() => {
                const parts = colour => colour.match(/[\\d.]+/g).slice(0, 3).map(Number);
                const body = getComputedStyle(document.body);
                const probe = document.body.appendChild(document.createElement("p"));
                probe.style.color = "var(--blue)";
                const blue = parts(getComputedStyle(probe).color), paper = parts(body.backgroundColor);
                const cell = blue.map((part, place) => 0.55 * part + 0.45 * paper[place]);
                const luminance = rgb => rgb.map(part => part / 255)
                    .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
                    .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
                const [one, other] = [luminance(parts(body.color)), luminance(cell)];
                return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
            }"""
        )
        assert ratio >= 4.5, scheme


@pytest.mark.parametrize("name", SWEEPS)
def test_it_prints_in_light_colours_with_the_folded_parts_open(opened, tmp_path, name):
    page = opened(name, scheme="dark")
    assert page.pdf(path=tmp_path / "summary.pdf", format="A4").startswith(b"%PDF")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator(".scroll").first.evaluate("node => getComputedStyle(node).overflowX") == "visible"
    heights = page.locator("details table").evaluate_all("nodes => nodes.map(node => node.clientHeight)")
    assert all(height > 0 for height in heights)
