"""The flow diagram: rules in their order, every text within its box, and rules that left nobody out."""

import dataclasses

import pytest
from matplotlib import pyplot as plt
from matplotlib.backends.backend_agg import FigureCanvasAgg

from survlstm.data.cohort import Exclusion
from survlstm.report.figures.cohort import RIGHT, draw_flow, wrap_to_width
from tests.learning import prepared_on

MANY = tuple(f"SNOMED/{number}" for number in (44054006, 15777000, 5962100012345))
RULES = (
    Exclusion("not in the sample of 1,000 subjects", 123, 18),
    Exclusion("no visit", 0, 0),
    Exclusion("fewer than 3 visits on or before the landmark", 40, 4),
    Exclusion("cohort.include 1: age at least 18 and below 90", 112, 14),
    Exclusion(f"cohort.include 2: codes {', '.join(MANY)} and 2 more (descendants) within 365 days before", 190, 26),
    Exclusion("cohort.include 3: history of at least 365 days", 0, 0),
    Exclusion("cohort.include 4: dates from 2013-01-01 to 2020-12-31", 160, 81),
    Exclusion("cohort.exclude 1: code LAB//50912//mg/dL//AND_A_NAME_WITHOUT_A_SPACE_THAT_IS_WIDER_THAN_A_BOX", 4, 1),
)


@pytest.fixture
def drawn():
    flow = dataclasses.replace(prepared_on("visit").flow, subjects_excluded=RULES)
    figure = draw_flow(flow, evaluated=("test", 30, 5))
    yield figure
    plt.close(figure.figure)


def test_rules_are_drawn_in_order_and_those_of_the_user_even_if_they_left_nobody_out(drawn):
    (axes,) = drawn.figure.axes
    texts = [(text.get_position()[1], text.get_text()) for text in axes.texts if text.get_position()[0] > RIGHT[0]]
    said = " ".join(text for _, text in sorted(texts))
    places = [
        said.index(words) for words in ("the sample", "fewer", "include 1", "include 2", "include 3", "exclude 1")
    ]
    assert places == sorted(places)
    assert "no visit" not in said
    assert drawn.caption.endswith("Not drawn: 1 rule that left nobody out.")
    assert all(rule.reason in drawn.alt for rule in RULES)


def test_every_line_lies_within_its_box(drawn):
    (axes,) = drawn.figure.axes
    renderer = FigureCanvasAgg(drawn.figure).get_renderer()
    for text in axes.texts:
        if text.get_text():
            box = text.get_window_extent(renderer).transformed(axes.transData.inverted())
            assert box.x1 <= RIGHT[1], text.get_text()


def test_a_word_wider_than_a_box_is_broken():
    lines = wrap_to_width(RULES[-1].reason)
    assert "".join(lines).replace(" ", "") == RULES[-1].reason.replace(" ", "")
    assert len(lines) >= 3
