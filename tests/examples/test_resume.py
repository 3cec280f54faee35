"""A run that is killed or told to stop, as often as one likes, ends as the undisturbed one: bit for bit."""

import os
import random
import re
import signal
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.lives import SAVING, SMALL, Life
from tests.states import judged, trained

EPOCHS = 30


class Undisturbed(NamedTuple):
    """A run that nothing happens to: its words, its folder, and what it took."""

    words: list[str]
    folder: Path
    epochs: int
    training: float
    judging: float


def undisturbed_run(folder, cache, *, epochs):
    words = [*SMALL, f"cache_dir={cache}", f"trainer.epochs={epochs}"]
    life, moments = Life(folder, *words, f"output_dir={folder}"), []
    for line in ("Model parameters:", "Training ended:", "Training complete!"):
        life.until(line)
        moments.append(time.monotonic())
    assert life.ended() == 0, life.said
    return Undisturbed(words, folder, epochs, moments[1] - moments[0], moments[2] - moments[1])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, shared_cache):
    return undisturbed_run(tmp_path_factory.mktemp("undisturbed") / "run", shared_cache, epochs=EPOCHS)


def phase(said):
    """What a life was doing when it was killed."""
    for line, name in (
        ("Training complete!", "complete"),
        ("Training ended:", "judging"),
        ("Model parameters:", "training"),
    ):
        if line in said:
            return name
    return "preparing"


def test_killed_at_twelve_random_moments_it_ends_as_the_undisturbed_run(undisturbed, tmp_path):
    kill_again_and_again(undisturbed, tmp_path / "run", kills=12)


@pytest.mark.slow
def test_killed_at_a_hundred_random_moments_it_ends_as_the_undisturbed_run(tmp_path, shared_cache):
    longer = undisturbed_run(tmp_path / "undisturbed", shared_cache, epochs=5 * EPOCHS)
    kill_again_and_again(longer, tmp_path / "run", kills=100)


def kill_again_and_again(undisturbed, folder, *, kills):
    moments, words = random.Random(kills), [*undisturbed.words, SAVING, f"output_dir={folder}"]
    preparing, judging = kills // 10, kills // 10
    training = kills - preparing - judging
    # Training, validating and saving, and just after an epoch was saved, so that all of them together advance.
    lines, one_epoch = (
        ("Model parameters:", "Train loss:", "so far, at most"),
        undisturbed.training / undisturbed.epochs,
    )
    plan = [("", 0.7)] * preparing + [(lines[number % 3], one_epoch) for number in range(training)]
    moments.shuffle(plan)
    plan += [("Training ended:", 0.25 * undisturbed.judging)] * judging
    killed_in = []
    for number, (line, seconds) in enumerate(plan):
        may_be_named = number % 2 and (folder / "config.yaml").exists()
        life = Life(folder, *(["train", f"resume={folder}"] if may_be_named else words))
        killed_in.append(phase(life.until(line).killed(after=moments.uniform(0.0, seconds))))
        if killed_in[-1] == "complete":
            # On a busy machine the killer may come too late; then nothing is left to go on with.
            break
    print(killed_in)  # noqa: T201
    assert killed_in.count("training") >= training // 2
    assert killed_in[-1] in {"judging", "complete"}

    if killed_in[-1] != "complete":
        life = Life(folder, "train", f"resume={folder}")
        assert life.ended() == 0, life.said
    assert trained(folder) == trained(undisturbed.folder)
    assert judged(folder) == judged(undisturbed.folder)
    places = re.findall(r"Resuming in (epoch \d+ after \d+ steps)", (folder / "training.log").read_text())
    print(places)  # noqa: T201
    assert len(set(places)) >= training // 3
    # Nothing half written stays behind.
    assert [path.name for path in folder.rglob(".*")] == [".lock"]


@pytest.mark.parametrize(("kind", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["TERM", "INT"])
def test_a_signal_stops_it_and_it_goes_on_as_if_nothing_had_been(undisturbed, tmp_path, kind, code):
    folder, moments = tmp_path / "run", random.Random(code)
    life = Life(folder, *undisturbed.words, SAVING, f"output_dir={folder}")
    life.until(f"Epoch {moments.randint(2, EPOCHS // 2)}/")
    time.sleep(moments.uniform(0.0, 0.2))
    os.kill(life.process.pid, kind)
    assert life.ended() == code
    said = life.said
    assert "Traceback" not in said
    last = said.strip().splitlines()[-1]
    stopped = re.fullmatch(
        rf"Interrupted: stopped by signal {int(kind)} in (epoch \d+ after \d steps); the state is saved. "
        rf"Resume with survlstm train resume={folder}",
        last,
    )
    assert stopped, last
    assert last in (folder / "training.log").read_text()
    life = Life(folder, "train", f"resume={folder}")
    assert life.ended() == 0, life.said
    assert f"Resuming in {stopped[1]}" in life.said
    assert trained(folder) == trained(undisturbed.folder)
    assert judged(folder) == judged(undisturbed.folder)


def test_a_second_ctrl_c_ends_it_at_once(tmp_path, shared_cache):
    folder = tmp_path / "run"
    # One step of many parts takes seconds: the first request can't be granted before the second comes.
    slow = ["trainer.batch_size=130", "trainer.micro_batch_size=1", "model.hidden_dim=1024"]
    life = Life(folder, *SMALL, *slow, f"cache_dir={shared_cache}", f"output_dir={folder}")
    # Said behind the last look at a request before the step: one that came earlier would be granted at once.
    life.until("Epoch 2/")
    time.sleep(0.1)
    # Two that come within one part are one to Python, so that the second may have to come again.
    for _ in range(20):
        os.kill(life.process.pid, signal.SIGINT)
        time.sleep(0.3)
        if not life.process.is_alive():
            break
    assert life.ended() == 130
    assert "Traceback" not in life.said
    # Had it waited for the end of the step, it would have saved and said so.
    last = life.said.strip().splitlines()[-1]
    assert last == "Interrupted. If the run had started, resume it with survlstm train resume=RUN"
