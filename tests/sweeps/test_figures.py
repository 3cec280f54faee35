"""The figures of a sweep: what they show, what they leave out, and when there is none."""

import re

import pytest

from survlstm.report.figures.canvas import house_style, save
from survlstm.sweeps.figures import draw_effects, draw_heat_map, shorten
from survlstm.sweeps.parallel_coordinates import draw_parallel
from survlstm.utils.formatting import MISSING
from tests.sweeps import sample
from tests.sweeps.test_table import jobs, sweep_of

ALL = (draw_effects, draw_heat_map, draw_parallel)


def words(drawing, folder):
    """What is written into a figure."""
    with house_style():
        return re.findall(r"<text[^>]*>([^<]+)</text>", str(save(drawing, folder).svg))


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    return sweep_of(sample.grid_sweep(tmp_path_factory.mktemp("grid")))


def test_the_effects_show_each_key_value_mean_and_number(grid, tmp_path):
    drawing = draw_effects(grid)
    assert "model.dropout: 0.1 2.260, 0.3 2.230, 0.5 2.320" in drawing.alt
    written = words(drawing, tmp_path)
    assert [word for word in written if word in {"model.dropout", "optimizer.weight_decay"}] == [
        "model.dropout",
        "optimizer.weight_decay",
    ]
    assert {"0.1", "0.3", "0.5", "1e-05", "0.0001", "0.001", "validation nll (lower is better)"} <= set(written)


def test_the_heat_map_has_a_cell_for_each_pair_and_marks_the_missing(grid, tmp_path):
    drawing = draw_heat_map(grid)
    written = words(drawing, tmp_path)
    assert sorted(word for word in written if re.fullmatch(r"2\.\d{3}", word)) == sorted(
        ["2.290", "2.260", "2.230", "2.200", "2.260", "2.290", "2.350"]
    )
    assert written.count(MISSING) == 2
    assert f"0.0001 and 0.3: {MISSING}" in drawing.alt
    assert drawing.title == "optimizer.weight_decay and model.dropout together"


def test_repeats_share_a_cell(tmp_path):
    runs = ((f"a={a} b={b} seed={s}", 2 + a + 0.1 * s, 0.8, 0.7) for a in (0, 1) for b in "xy" for s in (0, 1))
    sweep = sweep_of(jobs(tmp_path, *runs))
    written = words(draw_heat_map(sweep), tmp_path)
    assert (written.count("2.050"), written.count("3.050"), written.count("2 runs")) == (2, 2, 4)


@pytest.mark.parametrize("keys", [("a=1", "a=2"), ("a=1 b=1 c=1", "a=2 b=2 c=2")])
def test_only_two_keys_make_a_heat_map(tmp_path, keys):
    sweep = sweep_of(jobs(tmp_path, *((line, 2.2, 0.8, 0.7) for line in keys)))
    assert draw_heat_map(sweep) is None


def test_a_grid_too_fine_to_read_is_not_drawn(tmp_path):
    sweep = sweep_of(jobs(tmp_path, *((f"a={place} b={place}", 2.2, 0.8, 0.7) for place in range(15))))
    assert draw_heat_map(sweep) is None
    assert draw_effects(sweep) is None
    assert draw_parallel(sweep) is not None


def test_parallel_coordinates_show_every_finished_run(grid, tmp_path):
    drawing = draw_parallel(grid)
    assert "7 finished runs over model.dropout, optimizer.weight_decay" in drawing.alt
    assert "The winner: model.dropout=0.3, optimizer.weight_decay=1e-05." in drawing.alt
    assert {"validation nll (better to the right)", "2.350", "2.200"} <= set(words(drawing, tmp_path))


def test_of_many_keys_those_that_tell_most_are_drawn(tmp_path):
    runs = []
    for number in range(6):
        values = [(number >> (key % 3)) & 1 for key in range(25)]
        runs.append((" ".join(f"k{key}={value}" for key, value in enumerate(values)), 2 + number / 10, 0.8, 0.7))
    sweep = sweep_of(jobs(tmp_path, *runs))
    assert len(sweep.keys) == 25
    assert "17 keys with smaller differences" in draw_effects(sweep).caption
    assert "17 keys with smaller effects" in draw_parallel(sweep).caption


@pytest.mark.parametrize("draw", ALL)
@pytest.mark.parametrize("runs", [[], [("a=1 b=1", 2.2, 0.8, 0.7)], [("seed=1", 2, 0.8, 0.7), ("seed=2", 2, 0.8, 0.7)]])
def test_without_anything_to_compare_there_is_no_figure(tmp_path, draw, runs):
    assert draw(sweep_of(jobs(tmp_path, *runs))) is None


@pytest.mark.parametrize("draw", ALL)
def test_equal_figures_are_drawn(tmp_path, draw):
    sweep = sweep_of(jobs(tmp_path, *((f"a={a} b={b}", 2.2, 0.8, 0.7) for a in (1, 2) for b in ("x", "$y_$"))))
    with house_style():
        assert save(draw(sweep), tmp_path).svg.startswith("<svg")


def test_long_words_are_cut_in_the_middle():
    assert shorten("short", 8) == "short"
    assert shorten("optimizer.weight_decay", 11) == "optim…decay"
