"""Several workers at one study, and workers that are killed."""

import csv
import datetime
import time

import optuna
import pytest

from survlstm.tuning import tune
from survlstm.tuning.trial_table import trial_folder, trial_slots
from tests.lives import forked
from tests.tuning.bowl import EPOCHS, Bowl, config_of, tuned, work

pytestmark = pytest.mark.usefixtures("bare")
STORAGES = {"journal": "storage=null", "sqlite": "storage=sqlite:///{folder}/study.db"}


def rows(folder):
    with (folder / "trials.csv").open() as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("kind", STORAGES)
def test_two_workers_share_one_study_and_make_each_trial_once(tmp_path, kind):
    folder, trials = tmp_path / "study", 14
    words = [f"trials={trials}", "pruner=null", STORAGES[kind].format(folder=folder)]
    folder.mkdir()
    workers = [forked(work, folder, words, {"epochs": 3, "pause": 0.03}) for _ in range(2)]
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    found = rows(folder)
    assert [(row["trial"], row["state"]) for row in found] == [(str(number), "complete") for number in range(trials)]
    makers = [(trial_folder(folder, number) / "trained.txt").read_text().split() for number in range(trials)]
    assert all(len(lines) == 3 and len(set(lines)) == 1 for lines in makers)
    assert len({lines[0] for lines in makers}) == 2
    assert len({row["model.dropout"] for row in found}) == trials


@pytest.mark.parametrize("kind", STORAGES)
def test_a_worker_killed_in_a_trial_is_noticed_and_its_trial_completed(tmp_path, kind):
    folder = tmp_path / "study"
    words = ["trials=4", "pruner=null", STORAGES[kind].format(folder=folder)]
    folder.mkdir()
    killed = forked(work, folder, words, {"die_at": (2, 5)})
    killed.join(120)
    assert killed.exitcode == -9
    bowl = tuned(folder, *words)
    # The killed trial first, from where it was and with its values; the fourth is that of an undisturbed search.
    assert bowl.trained == [EPOCHS - 5, EPOCHS]
    assert [(row["state"], row["attempts"], row["epochs"]) for row in rows(folder)] == [
        ("complete", attempts, str(EPOCHS)) for attempts in ("1", "1", "2", "1")
    ]
    undisturbed = tuned(tmp_path / "undisturbed", "trials=4", "pruner=null")
    assert bowl.asked == undisturbed.asked[2:]


def test_a_living_workers_trial_is_left_alone(tmp_path):
    folder, words = tmp_path / "study", ["trials=2", "pruner=null"]
    other = forked(work, folder, words, {"pause": 0.25})
    latest = time.monotonic() + 60
    while other.is_alive() and not (trial_folder(folder, 0) / "trained.txt").exists():
        assert time.monotonic() < latest
        time.sleep(0.01)
    bowl = tuned(folder, *words)
    assert len(bowl.asked) == 1
    assert "The last trials are being made by other workers" in (folder / "tune.log").read_text()
    other.join(60)
    assert [row["attempts"] for row in rows(folder)] == ["1", "1"]


def test_a_trial_that_kills_its_worker_thrice_without_an_epoch_is_failed(tmp_path):
    folder, words = tmp_path / "study", ["trials=2", "pruner=null"]
    for _ in range(3):
        killed = forked(work, folder, words, {"die_at": (0, 1)})
        killed.join(60)
        assert killed.exitcode == -9
        (trial_folder(folder, 0) / "trained.txt").unlink()
    assert len(tuned(folder, *words).asked) == 1
    first, second = rows(folder)
    assert (first["state"], first["failure"]) == ("failed", "its worker was killed 3 times without a trace")
    assert second["state"] == "complete"


def running_elsewhere(folder, *, hours):
    """A study with one trial, signed in a folder that is on another machine, last seen so many hours ago."""
    config = config_of(folder, "trials=2", "pruner=null", f"storage=sqlite:///{folder}/study.db")
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("survlstm.tuning.search.Worker._hand_back", lambda self, claimed: None)
        with pytest.raises(KeyboardInterrupt):
            tune(config, stopped)
    (trial_folder(folder, 0) / ".worker").unlink()
    study = optuna.load_study(study_name=config.name, storage=config.storage)
    seen = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=hours)
    study._storage.set_trial_user_attr(study.trials[0]._trial_id, "seen", seen.isoformat())
    study._storage._backend.engine.dispose()
    return config


def stopped(overrides, folder, callback):
    raise KeyboardInterrupt


@pytest.mark.parametrize(("hours", "made"), [(5, 1), (7, 2)])
def test_a_machine_out_of_sight_is_given_up_after_hours(tmp_path, hours, made):
    config, bowl = running_elsewhere(tmp_path / "study", hours=hours), Bowl()
    tune(config, bowl)
    assert len(bowl.asked) == made


def test_a_worker_whose_trial_was_given_up_goes_on_with_the_next_one(tmp_path):
    config = config_of(tmp_path / "study", "trials=2", "pruner=null")

    def given_up_in_the_first(overrides, folder, callback):
        if folder.name == "0000" and callback.trial.number == 0:
            callback.trial.study.tell(callback.trial.number, state=optuna.trial.TrialState.FAIL)
        return Bowl()(overrides, folder, callback)

    tune(config, given_up_in_the_first)
    assert [(row["state"], row["attempts"]) for row in rows(tmp_path / "study")] == [
        ("complete", "2"),
        ("complete", "1"),
    ]


def test_surplus_trials_of_machines_without_a_common_folder_are_ended_at_once(tmp_path):
    # What two machines come to that have both seen the last place free.
    url = f"storage=sqlite:///{tmp_path}/study.db"
    tuned(tmp_path / "one", "trials=2", url)
    config = config_of(tmp_path / "two", "trials=2", url)
    with pytest.MonkeyPatch.context() as patch:
        rooms = iter([True, False])
        patch.setattr("survlstm.tuning.trial_slot._has_room", lambda study, config: next(rooms))
        bowl = Bowl()
        tune(config, bowl)
    assert bowl.asked == []
    study = optuna.load_study(study_name=config.name, storage=config.storage)
    assert [place.state for place in trial_slots(study.trials)] == ["complete", "complete"]
    study._storage._backend.engine.dispose()
    assert len(tuned(tmp_path / "two", "trials=3", url).asked) == 1
