"""Tests of the explanation's pages in a browser, with long descriptions, and of the section in the report of a run."""

import functools

import numpy as np
import pytest

from survlstm.explanation.effects import compute_effects
from survlstm.explanation.findings import ExplanationResults, ExplanationSettings, evaluate_planted_codes
from survlstm.explanation.page import write_pages
from survlstm.explanation.ranking import rank_codes
from survlstm.explanation.risk_over_time import explain_risk_over_time
from survlstm.explanation.sanity_checks import check_randomization
from survlstm.explanation.text import headline, summary_lines, warnings
from survlstm.report.figures.canvas import house_style
from survlstm.report.figures.explanation import CodeStrip, draw_subject
from tests.browser import DESKTOP, NEEDS_CHROMIUM, PHONE, WORDS, assert_words_are_whole_and_legible
from tests.explanation.rows import case
from tests.learning import prepared_on

REPORT = (
    "<p>before</p><!--explanation-link--><!--/explanation-link--><!--explanation-->old<!--/explanation--><p>behind</p>"
)
LONG = "MEASUREMENT OF WWWWWWWWWW & <b>ANTIBODIES</b> IN SERUM OR PLASMA BY IMMUNOASSAY, WITH CONFIRMATION OF THEM"


@functools.cache
def findings_of(clock, *, planted=(), text=None):
    """Explain all test subjects under an untrained model; ``text`` describes one code, not many with long texts."""
    model, batches = case(clock)
    entries = prepared_on(clock).vocabulary.entries
    effects = compute_effects(model, batches, batches.members, integration_steps=4, progress_label="Explaining")
    rankings = rank_codes(effects, resamples=100, top=12, seed=0)
    longest = int(batches.members[batches.visits(batches.members).argmax()])
    return ExplanationResults(
        about=ExplanationSettings("run", "test", len(batches.members), len(batches.members), clock, 4, 100, 12, 0),
        effects=effects,
        rankings=rankings,
        sanity=check_randomization(model, batches, effects, integration_steps=4, shuffles=2, seed=0),
        names=tuple(entries[code] for code in effects.code),
        described={"X/3": text} if text else {name: f"{LONG} {name}" for name in entries[2::2]},
        planted_codes=planted,
        planted=evaluate_planted_codes(planted, entries, effects, rankings),
        over_time=explain_risk_over_time(model, batches, longest, integration_steps=4),
        subject_id=f"{batches.tensors.subject_id[longest]}",
        notes=(),
    ), entries


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The pages of both clocks, one with planted codes; tests only read them."""
    found = {}
    for clock, planted in (("visit", ("X/3", "X/11")), ("landmark", ())):
        folder = tmp_path_factory.mktemp(clock)
        write_pages(folder, *findings_of(clock, planted=planted), report=None, subject_choice="as asked for")
        found[clock] = folder / "explanation.html"
    return found


@NEEDS_CHROMIUM
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESKTOP])
@pytest.mark.parametrize("clock", ["visit", "landmark"])
def test_nothing_overflows_and_no_word_of_a_figure_is_cut_or_too_small(opened, pages, *, clock, width, scheme):
    page = opened(clock, width, scheme)
    assert page.said == []
    assert [url for url in page.asked if not url.startswith("data:")] == [pages[clock].as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("figure svg").count() == 2
    assert any(text.endswith("…") for text, _, _ in page.evaluate(WORDS))
    assert_words_are_whole_and_legible(page)


def test_what_comes_from_the_export_is_escaped(pages):
    text = pages["visit"].read_text()
    assert "<b>ANTIBODIES" not in text
    assert "&lt;b&gt;ANTIBODIES" in text


def test_the_section_of_a_report_is_replaced_on_every_run(tmp_path):
    found, entries = findings_of("visit", text="<!--/explanation-->")
    report = tmp_path / "report.html"
    report.write_text(REPORT)
    texts = []
    for _ in range(2):
        assert write_pages(tmp_path, found, entries, report=report, subject_choice="as asked for")
        texts.append(report.read_text())
    assert texts[0] == texts[1]
    assert texts[0].startswith("<p>before</p><!--explanation-link-->")
    assert texts[0].endswith("<!--/explanation--><p>behind</p>")
    assert ">old<" not in texts[0]
    assert texts[0].count('<h2 id="explanation">') == 1


@pytest.mark.parametrize(
    "text", [None, "<p>an older page</p>", "<!--explanation--><!--/explanation-->", REPORT + REPORT]
)
def test_a_report_without_the_comments_is_not_changed(tmp_path, text):
    found, entries = findings_of("visit")
    report = tmp_path / "report.html"
    if text is not None:
        report.write_text(text)
    assert not write_pages(tmp_path, found, entries, report=report, subject_choice="as asked for")
    assert (report.read_text() if report.exists() else None) == text


def test_many_visits_are_drawn_in_groups_of_neighbours():
    attribution = np.zeros(130)
    attribution[[3, 4, 129]] = [0.5, -0.2, -1.0]
    with house_style():
        drawing = draw_subject(np.arange(130.0), np.linspace(-2, 1, 130), (CodeStrip("code", False, attribution),))
    assert "each group of 3 consecutive visits" in drawing.caption
    assert "the deepest cell is 1.000" in drawing.caption
    upper, lower = drawing.figure.axes
    # 44 groups; visits 3 and 4 share one. The outline is a patch too.
    assert len(upper.lines[0].get_xdata()) == 44
    assert upper.lines[0].get_ydata()[-1] == 1
    assert len(lower.patches) == 3
    assert drawing.alt.endswith("code \N{MINUS SIGN}0.700.")
    assert [tick.get_text() for tick in lower.get_xticklabels()][-1] == "day 129"


def test_headline_and_summary():
    found, _ = findings_of("visit", planted=("X/3", "X/11", "Y/none"), text="three")
    assert headline(found).endswith(
        "of the 2 planted codes are among the 2 most important by integrated gradients, "
        + (f"{found.planted.by_importance['occlusion'].in_front} by occlusion.")
    )
    said = summary_lines(found)
    assert any("precision at 2 is" in line and "by occlusion" in line for line in said)
    assert "Planted codes outside the vocabulary: Y/none." in said
    plain, _ = findings_of("landmark")
    assert "moves the predicted risk most" in headline(plain)
    assert not any("lanted" in line for line in summary_lines(plain))


def test_a_large_integration_error_gives_a_warning():
    found, _ = findings_of("visit")
    effects = found.effects
    off = type(effects)(**{**vars(effects), "delta": 0.2 * (effects.log_odds - effects.baseline_log_odds)})
    (said,) = [line for line in warnings(type(found)(**{**vars(found), "effects": off})) if "integration_steps" in line]
    assert said.startswith(
        "integrated gradients must miss less than 5% of the log-odds that they explain; they miss 20%."
    )
