"""What the tests of pages in a real browser share: where it is, the widths, and what is measured there."""

import shutil

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NEEDS_CHROMIUM = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium here; scripts/bootstrap dev installs it on Debian, as root, with a network"
)
DESKTOP, PHONE = 1280, 390

# Names of colours → the smaller of their contrasts with the page and with its shaded parts.
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

# Every word of every figure: the text, by how many pixels it is outside of its figure, and its size as shown.
WORDS = """() => [...document.querySelectorAll("figure svg")].flatMap(svg => {
    const outer = svg.getBoundingClientRect();
    return [...svg.querySelectorAll("text")].map(text => {
        const box = text.getBoundingClientRect();
        const scale = outer.width / svg.viewBox.baseVal.width;
        const out = Math.max(outer.left - box.left, box.right - outer.right,
                             outer.top - box.top, box.bottom - outer.bottom);
        return [text.textContent, out, parseFloat(getComputedStyle(text).fontSize) * scale];
    });
})"""

# Every table: whether it is in a box of its own that scrolls, that fits the window, and that the keyboard reaches.
TABLES = """() => [...document.querySelectorAll("table")].map(table => {
    const box = table.closest(".scroll");
    return [box !== null, box && box.getBoundingClientRect().right <= innerWidth, box && box.tabIndex];
})"""


def assert_words_are_whole_and_legible(page):
    """No word of a figure is cut off, or too small to read."""
    found = page.evaluate(WORDS)
    assert found
    assert [text for text, out, _ in found if out > 1] == []
    assert [text for text, _, size in found if size < 7.9] == []


def assert_only_boxes_scroll(page):
    """Wide tables scroll in their own boxes, which the keyboard reaches."""
    wide = page.evaluate(TABLES)
    assert wide
    assert all(inside and fits and focus == 0 for inside, fits, focus in wide)


def assert_both_schemes_are_legible(open_page, names):
    """``open_page`` takes a scheme; the named colours stand out from what is behind them, and the schemes differ."""
    backgrounds = []
    for scheme in ("light", "dark"):
        page = open_page(scheme)
        backgrounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        ratios = dict(zip(names, page.evaluate(CONTRAST, names), strict=True))
        assert min(ratios.values()) >= 4.5, (scheme, ratios)
    assert backgrounds == ["rgb(255, 255, 255)", "rgb(20, 24, 28)"]
