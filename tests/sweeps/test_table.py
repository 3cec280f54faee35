"""Groups, intervals over repeats, the winner and main effects, against worked tables."""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit, logit

from survlstm.sweeps.load_runs import find_runs, read_run
from survlstm.sweeps.table import main_effects, make_sweep, most_influential_keys, sort_values, spread_over_repeats
from survlstm.utils.errors import ConfigError
from tests.sweeps import sample


def sweep_of(folder, metric="val_nll"):
    rows = [read_run(path, name=path.relative_to(folder).as_posix()) for path in find_runs(folder)]
    return make_sweep(folder, rows, metric=metric)


def jobs(folder, *runs):
    """Finished runs from (overrides, val_nll, val_c_td, test_c_td)."""
    for number, (overrides, nll, c_td, test_c_td) in enumerate(runs):
        sample.write_run(folder / str(number), overrides.split(), val=(nll, c_td), test=(test_c_td, 2.0))
    return folder


@pytest.mark.parametrize("values", [[2.30, 2.32, 2.34, 2.36, 2.38], [0.1, 0.5, 7.25], [1.0, 1.0, 1.0]])
def test_the_interval_over_repeats_is_student_s_on_the_logarithm_of_nll(values):
    found = spread_over_repeats(values, "nll")
    assert found.number == len(values)
    assert found.mean == pytest.approx(sum(values) / len(values))
    assert found.sd == pytest.approx(math.sqrt(sum((v - found.mean) ** 2 for v in values) / (len(values) - 1)))
    expected = (found.mean, found.mean)
    if found.sd:
        # The delta method: the standard error of log x is that of x over x.
        scale = stats.sem(values) / found.mean
        expected = np.exp(stats.t.interval(0.95, len(values) - 1, loc=math.log(found.mean), scale=scale))
    assert found.interval == pytest.approx(tuple(expected))
    assert found.interval.low >= 0


@pytest.mark.parametrize("values", [[0.7, 0.71, 0.72], [0.5, 0.9, 0.99], [1.0, 0.2, 0.0, 1.0], [1.0, 1.0, 1.0]])
def test_the_interval_over_repeats_is_student_s_on_the_logit_of_c_td(values):
    found = spread_over_repeats(values, "c_td")
    mean = sum(values) / len(values)
    expected = (mean, mean)
    if found.sd:
        scale = stats.sem(values) / (mean * (1 - mean))
        expected = expit(stats.t.interval(0.95, len(values) - 1, loc=logit(mean), scale=scale))
    assert found.interval == pytest.approx(tuple(expected))
    low, high = found.interval
    assert 0 <= low <= found.mean <= high <= 1


def test_a_worked_interval():
    # t(4, 0.975) = 2.776; sd = sqrt(0.001); 2.776 x 0.0316 / sqrt(5) = 0.0393; 2.34 e^(0.0393 / 2.34) = 2.3796
    found = spread_over_repeats([2.30, 2.32, 2.34, 2.36, 2.38], "nll")
    assert (round(found.mean, 4), round(found.sd, 4)) == (2.34, 0.0316)
    assert [round(end, 4) for end in found.interval] == [2.3011, 2.3796]
    # t(2, 0.975) = 4.303; 4.303 x 0.23 / sqrt(3) = 0.5714, beyond both ends of c_td; 0.5714 / (0.555 x 0.445) = 2.3136
    low, high = spread_over_repeats([0.325, 0.785, 0.555], "c_td").interval
    assert (round(low, 3), round(high, 3)) == (0.110, 0.927)


def test_fewer_than_three_values_have_no_interval_and_none_no_mean():
    assert spread_over_repeats([2.5], "nll") == (2.5, None, 1, None)
    assert spread_over_repeats([], "nll") is None
    two = spread_over_repeats([0.325, 0.785], "c_td")
    assert (two.mean, two.interval) == (pytest.approx(0.555), None)
    assert two.sd == pytest.approx(0.3253, abs=1e-4)
    # What no c_td can be, from a damaged file.
    assert spread_over_repeats([1.5, 2.0, 2.5], "c_td").interval is None


def test_folds_are_repeats(tmp_path):
    sweep = sweep_of(sample.repeats_sweep(tmp_path))
    assert (sweep.keys, sweep.repeats, sweep.has_repeats) == (("model.hidden_dim",), ("split.fold",), True)
    small, large = sweep.groups
    assert (small.label, large.label) == ("model.hidden_dim=64", "model.hidden_dim=256")
    assert [len(group.rows) for group in sweep.groups] == [5, 5]
    assert large.spread("val", "nll").mean == pytest.approx(2.34)
    # 0.72 on the logit scale, ± 0.01963 / (0.72 x 0.28)
    assert large.spread("test", "c_td").interval == pytest.approx((0.69994, 0.73919), abs=1e-4)
    assert sweep.winner.group is large
    assert sweep.winner.second is small
    assert sweep.winner.notes == ()


def test_seeds_alone_make_one_group(tmp_path):
    folder = jobs(
        tmp_path, ("seed=1", 2.2, 0.8, 0.7), ("seed=2", 2.4, 0.8, 0.7), ("seed=3 split.seed=9", 2.3, 0.8, 0.7)
    )
    (group,) = (sweep := sweep_of(folder)).groups
    assert (group.label, sweep.keys) == ("all runs", ())
    assert group.spread("val", "nll").mean == pytest.approx(2.3)
    assert main_effects(sweep).empty


def test_a_value_left_at_its_default_is_that_of_the_config(tmp_path):
    # Dropout is 0.3 by default: the first two runs are alike.
    folder = jobs(
        tmp_path, ("seed=1", 2.2, 0.8, 0.7), ("seed=2 model.dropout=0.3", 2.3, 0.8, 0.7), ("model.dropout=0.5", 2, 1, 1)
    )
    assert [group.label for group in sweep_of(folder).groups] == ["model.dropout=0.3", "model.dropout=0.5"]


def test_where_runs_write_is_no_setting(tmp_path):
    folder = jobs(tmp_path, ("output_dir=a seed=1", 2.2, 0.8, 0.7), ("output_dir=b seed=2 verbose=true", 2.3, 0.8, 0.7))
    assert len(sweep_of(folder).groups) == 1


def test_runs_without_a_record_are_no_repeats_of_each_other(tmp_path):
    folder = jobs(tmp_path, ("", 2.2, 0.8, 0.7), ("", 2.3, 0.8, 0.7))
    for number in "01":
        sample.write(folder / number / "manifest.json", {"command": "survlstm train"})
    assert [group.label for group in sweep_of(folder).groups] == ["run 0", "run 1"]


@pytest.mark.parametrize(("metric", "winner"), [("val_nll", "0"), ("val_c_td", "1")])
def test_validation_picks_the_winner_and_the_test_never(tmp_path, metric, winner):
    folder = jobs(
        tmp_path,
        ("model.dropout=0.1", 2.1, 0.80, 0.60),
        ("model.dropout=0.2", 2.2, 0.85, 0.65),
        ("model.dropout=0.3", 2.3, 0.75, 0.99),
    )
    assert [row.name for row in sweep_of(folder, metric).winner.group.rows] == [winner]


def test_of_equals_the_first_wins(tmp_path):
    folder = jobs(tmp_path, *((f"model.dropout={value}", 2.2, 0.8, 0.7) for value in (0.5, 0.1, 0.3)))
    assert sweep_of(folder).winner.group.label == "model.dropout=0.5"


def test_a_group_with_an_unfinished_repeat_is_left_out(tmp_path):
    folder = sample.repeats_sweep(tmp_path)
    sample.write(folder / "9" / "manifest.json", sample.manifest(["model.hidden_dim=256", "split.fold=4"], "failed"))
    winner = sweep_of(folder).winner
    assert winner.group.label == "model.hidden_dim=64"
    assert winner.notes == ("Not compared, because some of their repeats are unfinished: 1 of 2 groups.",)


def test_unless_no_group_is_whole(tmp_path):
    folder = sample.repeats_sweep(tmp_path)
    for number, hidden in (("4", 64), ("8", 256), ("9", 256)):
        overrides = [f"model.hidden_dim={hidden}", f"split.fold={number}"]
        sample.write(folder / number / "manifest.json", sample.manifest(overrides, "stopped", "SIGTERM"))
    winner = sweep_of(folder).winner
    assert winner.group.label == "model.hidden_dim=256"
    assert winner.group.spread("val", "nll").number == 3
    assert winner.notes == (
        "In no group are all repeats finished; groups with some finished repeats are compared.",
        "The groups have 3 to 4 finished repeats: their means are not equally precise.",
    )


def test_a_best_value_at_the_end_of_what_was_tried_is_said(tmp_path):
    values = ((1e-5, 2.4), (1e-4, 2.3), (1e-3, 2.2))
    folder = jobs(tmp_path, *((f"optimizer.lr={value}", nll, 0.8, 0.7) for value, nll in values))
    (note,) = sweep_of(folder).winner.notes
    said = "The best value is at the edge of those tried, better ones may lie beyond: "
    assert note == f"{said}optimizer.lr=0.001 (largest of 3)."


def test_nobody_wins_where_nothing_is_finished(tmp_path):
    sample.write_unfinished(tmp_path / "0", ["seed=1"], "failed", "E", val=(1.0, 0.9))
    sample.write_unfinished(tmp_path / "1", ["seed=2"], "running", val=(1.0, 0.9))
    sweep = sweep_of(tmp_path)
    assert (sweep.winner, sweep.scored) == (None, [])


@pytest.mark.parametrize(
    ("metric", "sentence"),
    [
        ("test_c_td", r"metric must be one of val_nll, val_c_td; the test split chooses nothing. Found 'test_c_td'"),
        ("val_ctd", r"Found 'val_ctd'; the nearest is val_c_td"),
        ("", r"Found ''"),
    ],
)
def test_another_metric_is_refused(tmp_path, metric, sentence):
    with pytest.raises(ConfigError, match=sentence):
        make_sweep(tmp_path, [], metric=metric)


def test_main_effects_are_means_over_finished_runs(tmp_path):
    # 4 and 7 are not finished; nll is 2.2 + 0.03 |number - 3|.
    effects = main_effects(sweep_of(sample.grid_sweep(tmp_path)))
    worked = [
        ("model.dropout", 0.1, (2.29 + 2.26 + 2.23) / 3, 3),
        ("model.dropout", 0.3, (2.20 + 2.26) / 2, 2),
        ("model.dropout", 0.5, (2.29 + 2.35) / 2, 2),
        ("optimizer.weight_decay", 1e-5, (2.29 + 2.20 + 2.29) / 3, 3),
        ("optimizer.weight_decay", 1e-4, 2.26, 1),
        ("optimizer.weight_decay", 1e-3, (2.23 + 2.26 + 2.35) / 3, 3),
    ]
    assert list(effects.columns) == ["key", "value", "mean val_nll", "finished runs"]
    for line, expected in zip(effects.itertuples(index=False), worked, strict=True):
        assert tuple(line) == (expected[0], expected[1], pytest.approx(expected[2]), expected[3])


def test_a_value_with_no_finished_run_has_no_mean(tmp_path):
    sample.write_run(tmp_path / "0", ["model.dropout=0.1"])
    sample.write_unfinished(tmp_path / "1", ["model.dropout=0.3"], "failed", "E")
    effects = main_effects(sweep_of(tmp_path))
    assert list(effects["finished runs"]) == [1, 0]
    assert math.isnan(effects["mean val_nll"][1])


def test_the_keys_that_tell_most_come_first(tmp_path):
    runs = ((f"a=1 b={b} c={c}", 2 + c + 0.1 * b, 0.8, 0.7) for b in (0, 1) for c in (0, 1))
    assert most_influential_keys(sweep_of(jobs(tmp_path, *runs))) == ["c", "b"]


def test_numbers_stand_before_words_and_both_before_the_unknown():
    assert sort_values([None, "null", 10, 2.5, "a", 10.0]) == [2.5, 10, "a", "null", None]
