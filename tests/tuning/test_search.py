"""Asked, made and told: resumed, pruned, failed and stopped searches, with a bowl in the place of training."""

import csv
import json
import logging
import statistics

import pytest

from survlstm.tuning import tune
from survlstm.tuning.trial import TrialOutcome
from survlstm.utils.errors import ConfigError, Interrupted, NotFiniteError, TrainingError
from tests.tuning.bowl import EPOCHS, Bowl, config_of, curve, tuned, value_of

pytestmark = pytest.mark.usefixtures("bare")
NEVER_PRUNED = "pruner=null"


def table(folder):
    with (folder / "trials.csv").open() as stream:
        return list(csv.DictReader(stream))


def record(folder):
    return json.loads((folder / "study.json").read_text())


class Breaking:
    """A bowl that raises in some trials, by the order in which they are asked for."""

    def __init__(self, errors):
        self.errors, self.bowl, self.calls = errors, Bowl(), 0

    def __call__(self, overrides, folder, callback):
        self.calls += 1
        error = self.errors.get(self.calls - 1)
        if error is not None:
            raise error
        return self.bowl(overrides, folder, callback)


def test_every_trial_gets_base_and_values_and_a_folder_and_the_best_is_told(tmp_path):
    folder = tmp_path / "study"
    bowl = tuned(folder, "trials=4", 'base=["data=tiny"]')
    rows = table(folder)
    assert [row["state"] for row in rows] == ["complete"] * 4
    for asked, row in zip(bowl.asked, rows, strict=True):
        dropout, decay = row["model.dropout"], row["optimizer.weight_decay"]
        assert asked == ["data=tiny", f"model.dropout={dropout}", f"optimizer.weight_decay={decay}"]
        assert float(row["val_nll"]) == curve(value_of(asked[1:]), EPOCHS)
        assert (folder / row["folder"] / "trained.txt").is_file()
    best = record(folder)["best"]
    assert best["val_nll"] == min(float(row["val_nll"]) for row in rows)
    assert best["overrides"] == bowl.asked[best["trial"]][1:]
    assert "Best: trial" in (folder / "tune.log").read_text()


def test_one_seed_gives_the_same_trials_and_another_one_others(tmp_path):
    first, again, other = (
        tuned(tmp_path / name, "trials=13", "pruner.warmup_epochs=3", f"seed={seed}").asked
        for name, seed in (("first", 1), ("again", 1), ("other", 2))
    )
    assert first == again
    assert first != other


def test_a_search_goes_on_where_it_was_and_asks_what_an_undisturbed_one_asks(tmp_path):
    folder = tmp_path / "study"
    first, second = tuned(folder, "trials=11"), tuned(folder, "trials=14")
    assert (len(first.asked), len(second.asked)) == (11, 3)
    assert first.asked + second.asked == tuned(tmp_path / "undisturbed", "trials=14").asked
    assert tuned(folder, "trials=14").asked == []
    assert "14 of 14 trials done" in (folder / "tune.log").read_text()


def test_a_trial_that_was_told_to_stop_goes_on_in_its_folder_with_its_values(tmp_path):
    folder, config = tmp_path / "study", config_of(tmp_path / "study", "trials=3")
    with pytest.raises(
        Interrupted, match=r"stopped by signal 15 in trial 1; .* The same survlstm tune command continues"
    ) as stopped:
        tune(config, Breaking({1: Interrupted("…", signal_number=15)}))
    assert stopped.value.exit_code == 143
    assert [row["state"] for row in table(folder)] == ["complete", "lost"]
    values = table(folder)[1]["model.dropout"]
    bowl = Bowl()
    tune(config, bowl)
    assert len(bowl.asked) == 2
    assert bowl.asked[0][0] == f"model.dropout={values}"
    assert [(row["state"], row["attempts"]) for row in table(folder)] == [
        ("complete", "1"),
        ("complete", "2"),
        ("complete", "1"),
    ]


def test_ctrl_c_is_handed_on_and_the_trial_kept(tmp_path):
    config = config_of(tmp_path / "study", "trials=2")
    with pytest.raises(KeyboardInterrupt):
        tune(config, Breaking({0: KeyboardInterrupt()}))
    bowl = Bowl()
    tune(config, bowl)
    assert len(bowl.asked) == 2


def test_bad_curves_are_stopped_and_good_ones_are_not(tmp_path):
    folder, warmup = tmp_path / "study", 3
    bowl = tuned(folder, "trials=20", f"pruner.warmup_epochs={warmup}", "pruner.startup_trials=5")
    rows = table(folder)
    pruned = [row for row in rows if row["state"] == "pruned"]
    assert len(pruned) >= 5
    for row, trained in zip(rows, bowl.trained, strict=True):
        assert trained == int(row["epochs"]) == (EPOCHS if row["state"] == "complete" else warmup + 1)
    assert all(trained == EPOCHS for trained in bowl.trained[:5])
    unpruned = tuned(tmp_path / "unpruned", "trials=20", NEVER_PRUNED)
    assert unpruned.trained == [EPOCHS] * 20
    for row in pruned:
        number = int(row["trial"])
        before = [
            asked for asked, other in zip(bowl.asked[:number], rows, strict=False) if other["state"] == "complete"
        ]
        assert value_of(bowl.asked[number]) > statistics.median(map(value_of, before))


def test_tpe_beats_random_search_on_the_bowl(tmp_path):
    def excess(startup):
        found = []
        for seed in (0, 1):
            bowl = tuned(
                tmp_path / f"{startup[-2:]}_{seed}".replace("=", ""),
                "trials=25",
                NEVER_PRUNED,
                f"seed={seed}",
                startup,
                epochs=1,
            )
            found.append(min(map(value_of, bowl.asked)) - 0.4)
        return found

    tpe, random = excess("startup_trials=8"), excess("startup_trials=25")
    assert sum(tpe) < 0.5 * sum(random), (tpe, random)


def test_c_td_is_maximised(tmp_path):
    folder = tmp_path / "study"
    tuned(folder, "trials=12", "metric=val_c_td", "pruner.warmup_epochs=3", "pruner.startup_trials=3")
    rows, best = table(folder), record(folder)["best"]
    assert best["val_c_td"] == max(float(row["val_c_td"]) for row in rows if row["state"] == "complete")
    assert {row["state"] for row in rows} == {"complete", "pruned"}


def test_a_failed_trial_keeps_its_sentence_and_the_search_goes_on(tmp_path):
    folder = tmp_path / "study"
    broken = Breaking({1: NotFiniteError("the loss must be\nfinite; found nan"), 3: RuntimeError("cuDNN is unwell")})
    tune(config_of(folder, "trials=5"), broken)
    rows = table(folder)
    assert [row["state"] for row in rows] == ["complete", "failed", "complete", "failed", "complete"]
    assert rows[1]["failure"] == "NotFiniteError: the loss must be finite; found nan"
    assert rows[3]["failure"] == "RuntimeError: cuDNN is unwell"
    assert "Traceback" in (folder / "tune.log").read_text()
    assert broken.calls == 5


def test_a_metric_that_is_none_is_a_failure(tmp_path):
    folder = tmp_path / "study"
    outcomes = iter([TrialOutcome(1.0, float("nan"), 1, 1, 1.0), TrialOutcome(1.0, 0.5, 1, 1, 1.0)])
    tune(config_of(folder, "trials=2", "metric=val_c_td"), lambda *_: next(outcomes))
    assert [row["failure"] for row in table(folder)] == ["val_c_td must be finite to be compared; found nan", ""]


def test_three_failures_at_the_beginning_end_the_search(tmp_path):
    broken = Breaking(dict.fromkeys(range(9), NotFiniteError("found nan")))
    with pytest.raises(
        TrainingError, match=r"failed before any trial finished, the last one: NotFiniteError: found nan\."
    ):
        tune(config_of(tmp_path / "study", "trials=9"), broken)
    assert broken.calls == 3
    # Mended, the search goes on.
    assert len(tuned(tmp_path / "study", "trials=9").asked) == 6


def test_the_same_failure_again_and_again_ends_the_search_before_it_burns_the_night(tmp_path):
    same = {number: RuntimeError("the GPU is gone") for number in range(2, 20)}
    broken = Breaking(same)
    with pytest.raises(
        TrainingError, match=r"failed with the same sentence, the last one: RuntimeError: the GPU is gone\."
    ):
        tune(config_of(tmp_path / "study", "trials=20"), broken)
    assert broken.calls == 5
    others = Breaking({number: NotFiniteError(f"found nan at step {number}") for number in range(2, 7)})
    tune(config_of(tmp_path / "others", "trials=8"), others)
    assert others.calls == 8


CHANGED = [
    ("seed=1", r"seed: 0 → 1"),
    ("metric=val_c_td", r"metric: val_nll → val_c_td"),
    ('base=["data=tiny"]', r"base: \[\] → \['data=tiny'\]"),
    ("space.model.dropout.high=0.6", r"space\.model\.dropout\.high: 0\.7 → 0\.6"),
    ("~space.optimizer", r"space\.optimizer\.weight_decay\.kind: float → \(not there\)"),
    ("pruner.warmup_epochs=1", r"pruner\.warmup_epochs: 10 → 1"),
]


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    folder = tmp_path_factory.mktemp("begun") / "study"
    tuned(folder, "trials=1")
    return folder


@pytest.mark.parametrize(("word", "sentence"), CHANGED)
def test_a_search_goes_on_with_its_own_config_only(begun, word, sentence):
    with pytest.raises(ConfigError, match=rf"resumed with the config it was started with; .*{sentence}"):
        tuned(begun, "trials=1", word)


def test_a_folder_holds_one_search_and_its_trials_need_their_storage(begun):
    with pytest.raises(ConfigError, match=r"holds the search dropout_and_decay\. Set another output_dir"):
        tuned(begun, "name=other")
    (begun / "study.journal").rename(begun / "lost.journal")
    try:
        with pytest.raises(ConfigError, match=r"holds 1 that its journal does not know"):
            tuned(begun, "trials=1")
    finally:
        (begun / "lost.journal").rename(begun / "study.journal")


def test_optuna_says_nothing_of_its_own(tmp_path, capfd):
    handlers = logging.getLogger("optuna").handlers[:]
    tuned(tmp_path / "study", "trials=1")
    assert capfd.readouterr().err == ""
    assert logging.getLogger("optuna").handlers == handlers


def test_without_the_extra_there_is_a_sentence(tmp_path, monkeypatch):
    config = config_of(tmp_path / "study")
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(ConfigError, match=r"survlstm tune needs the extra tune: pip install 'survlstm\[tune\]'"):
        tune(config)
