"""Figures and page of predicted curves: what they show and say, and how they look in a real browser."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from survlstm.report.figures.canvas import house_style, save
from survlstm.report.figures.survival import LOOKS, MOST_LINES, draw_risk_groups, draw_subjects
from survlstm.report.survival_page import write_survival_page
from survlstm.utils.formatting import MISSING
from tests.browser import (
    DESKTOP,
    NEEDS_CHROMIUM,
    PHONE,
    assert_both_schemes_are_legible,
    assert_only_boxes_scroll,
    assert_words_are_whole_and_legible,
)
from tests.report.curves import DAYS, VISITS, group, scored, subject


def drawn(drawing, folder):
    """The drawing's curves by their legend's words, and all words of the figure."""
    axes = drawing.figure.axes[0]
    lines = {line.get_label(): line for line in axes.get_lines() if not line.get_label().startswith("_")}
    with house_style():
        svg = save(drawing, folder).svg
    return lines, re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def draw_one(draw, *values):
    with house_style():
        return draw(*values)


def test_curves_start_at_1_and_the_lowest_risk_stands_first(tmp_path):
    people = [subject("anna", hazard=0.3, percentile=97.4), subject("carl", hazard=0.01), subject("bert", hazard=0.1)]
    (drawing,) = draw_one(draw_subjects, people, VISITS)
    lines, words = drawn(drawing, tmp_path)
    assert [label.split(":")[0] for label in lines] == ["carl", "bert", "anna"]
    assert "anna: risk 0.972, percentile 97" in words
    for person in people:
        line = next(line for label, line in lines.items() if label.startswith(person.name))
        np.testing.assert_allclose(line.get_xdata(), np.arange(11))
        np.testing.assert_allclose(line.get_ydata(), [1, *person.survival])
    assert "visits after the last one read" in words
    assert drawing.name == "survival_subjects"
    assert "carl 0.90; bert 0.35; anna 0.03" in drawing.alt
    assert "starts at 1 at the last visit read" in drawing.caption


def test_lines_differ_without_colours():
    assert len({(str(look.dashes), look.marker, look.is_filled) for look in LOOKS}) == len(LOOKS) == MOST_LINES


@pytest.mark.parametrize(("subjects", "plates"), [(1, [1]), (8, [8]), (9, [8, 1]), (17, [8, 8, 1])])
def test_many_subjects_take_several_figures(tmp_path, subjects, plates):
    people = [subject(f"s{number:02d}", hazard=0.01 * (1 + number)) for number in range(subjects)]
    drawings = draw_one(draw_subjects, people, VISITS)
    assert [len(drawn(drawing, tmp_path)[0]) for drawing in drawings] == plates
    assert [drawing.name for drawing in drawings] == [
        "survival_subjects" + (f"_{place}" if place > 1 else "") for place in range(1, len(plates) + 1)
    ]
    assert (f"1 of {len(plates)}" in drawings[0].title) == (len(plates) > 1)


@pytest.mark.parametrize(("hazard", "begins"), [(0.1, 0), (0.02, 0.8), (0.004, 0.95), (0.0001, 0.998), (0, 0.999)])
def test_an_axis_that_does_not_begin_at_0_says_so(hazard, begins):
    (drawing,) = draw_one(draw_subjects, [subject("a", hazard=hazard)], VISITS)
    assert drawing.figure.axes[0].get_ylim()[0] == pytest.approx(begins)
    assert ("The axis begins at" in drawing.caption) == (begins > 0)
    if begins:
        assert f"The axis begins at {begins:g}, not at 0." in drawing.caption


def test_days_are_days_after_the_landmark(tmp_path):
    (drawing,) = draw_one(draw_subjects, [subject("a", DAYS)], DAYS)
    lines, words = drawn(drawing, tmp_path)
    (line,) = lines.values()
    np.testing.assert_allclose(line.get_xdata(), [0, *DAYS.grid])
    assert {"days after the landmark", "1,000"} <= set(words)
    assert "starts at 1 at the landmark" in drawing.caption


def test_groups_have_their_sizes_means_and_bands(tmp_path):
    groups = scored().groups
    drawing = draw_one(draw_risk_groups, groups, VISITS)
    lines, words = drawn(drawing, tmp_path)
    assert list(lines) == ["low risk, 1,500 subjects", "medium risk, 20 subjects", "high risk, 1 subject"]
    for found, line in zip(groups, lines.values(), strict=True):
        np.testing.assert_allclose(line.get_ydata(), [1, *found.mean])
    edges = [line.get_ydata() for line in drawing.figure.axes[0].get_lines() if line.get_label().startswith("_")]
    for edge, expected in zip(edges, [each for one in groups for each in (one.low, one.high)], strict=True):
        np.testing.assert_allclose(edge, [1, *expected])
    assert "high risk, 1 subject" in words
    assert "medium risk 0.35 (0.21 to 0.59)" in drawing.alt


def test_a_group_without_a_subject_is_named_and_not_drawn(tmp_path):
    groups = (group("low risk", hazard=0.1), group("medium risk", hazard=0.2, subjects=0))
    drawing = draw_one(draw_risk_groups, groups, VISITS)
    assert list(drawn(drawing, tmp_path)[0]) == ["low risk, 10 subjects"]
    assert "Groups without a subject: medium risk." in drawing.caption


def written(folder, **changed):
    folder.mkdir(exist_ok=True)
    return write_survival_page(folder, scored(**changed)).read_text(encoding="utf-8")


def plain(page):
    """The words of a page, without its figures and style."""
    page = re.sub(r"<(svg|style).*?</\1>", "", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page)).replace(" ,", ",").replace(" :", ":")


def test_the_page_has_its_figures_and_files(tmp_path):
    page = written(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(
        ["survival.html", *(f"survival_{name}.{kind}" for name in ("subjects", "groups") for kind in ("png", "svg"))]
    )
    assert page.count("<svg") == 2
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"|Content-Security', "", page).replace("http-equiv", "")


def test_equal_values_give_equal_bytes(tmp_path):
    written(tmp_path / "a")
    written(tmp_path / "b")
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def test_the_page_says_what_it_shows(tmp_path):
    words = plain(written(tmp_path))
    assert "1,521 of 1,536 subjects scored: 1,500 at low risk, 20 at medium risk and 1 at high risk." in words
    mean = 1 - (1500 * 0.98**10 + 20 * 0.9**10 + 0.7**10) / 1521
    assert f"Mean risk {mean:.3f} predicted probability of the event by 10 visits" in words
    row = "11111111-2222-3333-4444-000000000001 median risk 0.651 50.0 0.900 0.349 1,234 67 of 2,345"
    assert row in words
    assert "medium risk 33.3 to 66.7 20 1.3 % 0.349 0.206 to 0.590" in words
    assert "No entry that may be read 12" in words or "no entry that may be read 12" in words
    assert "t = 3 is the third visit after the last one read" in words
    assert "Bands are also over all subjects." in words
    assert "2020-02-01" not in words


def test_the_page_of_the_landmark_clock_counts_days(tmp_path):
    words = plain(written(tmp_path, times=DAYS))
    assert "Days after the landmark." in words
    assert "third visit" not in words


def test_the_page_says_what_is_missing(tmp_path):
    left_out = {"carl": "the subject died on 2010-01-01, before the prediction time"}
    groups = (group("low risk", hazard=0.1), *(group(name, hazard=0.1, subjects=0) for name in ("medium", "high")))
    changed = {"left_out": left_out, "groups": groups, "sample": 2000, "notes": ("no encounters",)}
    words = plain(written(tmp_path, **changed))
    assert "1 of the 4 subjects requested cannot be drawn" in words
    assert "carl the subject died on 2010-01-01, before the prediction time" in words
    assert "come from 2,000 subjects of each larger group" in words
    assert "no encounters." in words
    assert f"medium 33.3 to 66.7 0 0.0 % {MISSING} {MISSING}" in words


def test_everybody_scored(tmp_path):
    page = written(tmp_path, not_scored={})
    assert "#not-scored" not in page
    assert "every subject is scored" in plain(page)


def test_what_the_data_say_is_no_markup(tmp_path):
    page = written(tmp_path, subjects=(subject("<b>x</b>&"),), outcome="<script>alert(1)</script>")
    assert "<b>x" not in page
    assert "<script" not in page
    assert "&lt;b&gt;x" in page


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Pages of both clocks; only read."""
    many = tuple(subject(f"11111111-2222-3333-4444-{n:012d}", hazard=0.02 * (n + 1)) for n in range(11))
    left_out = {"1ae31b21-2222-3333-4444-000000000077": "its row of the patients table can't be used"}
    return {
        "visit": write_survival_page(tmp_path_factory.mktemp("visit"), scored(subjects=many, left_out=left_out)),
        "landmark": write_survival_page(tmp_path_factory.mktemp("landmark"), scored(DAYS)),
    }


@NEEDS_CHROMIUM
@pytest.mark.parametrize("width", [PHONE, DESKTOP])
@pytest.mark.parametrize("name", ["visit", "landmark"])
def test_in_a_browser_nothing_overflows_is_cut_or_fetched(opened, pages, name, width):
    page = opened(name, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("figure svg").count() == {"visit": 3, "landmark": 2}[name]
    assert_words_are_whole_and_legible(page)
    assert_only_boxes_scroll(page)
    assert page.said == []
    assert [url for url in page.asked if not url.startswith("data:")] == [pages[name].as_uri()]


@NEEDS_CHROMIUM
def test_both_schemes_are_legible_and_it_prints_light(opened):
    names = ["--ink", "--muted", "--blue", "--orange", "--green", "--purple"]
    assert_both_schemes_are_legible(lambda scheme: opened("visit", scheme=scheme), names)
    page = opened("visit", scheme="dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator(".scroll").first.evaluate("node => getComputedStyle(node).overflowX") == "visible"


def test_the_days_clock_counts_from_the_prediction_time(tmp_path):
    times = dataclasses.replace(DAYS, start="prediction time")
    page = write_survival_page(tmp_path, scored(times)).read_text(encoding="utf-8")
    assert "Days after the prediction time." in page
    assert "after the landmark" not in page
    assert "the landmark" in write_survival_page(tmp_path, scored(DAYS)).read_text(encoding="utf-8")
