"""TensorBoardLogger: TensorBoard itself reads back what was written."""

import resource
import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from survlstm.training.loggers.background import BackgroundLogger
from survlstm.training.loggers.tensorboard_logger import TensorBoardLogger
from survlstm.utils.errors import ConfigError
from tests.training.loggers.histories import CONFIG, METRICS, history, started_from_a_fit, warnings_in

PER_EPOCH = ["train_loss", "val_loss", "val_c_td", "lr", "grad_norm", "seconds", "subjects_per_second"]


def life(folder, histories, *, metrics=METRICS, state="finished", killed=False):
    """Log a run; ``killed`` leaves out the end of the run."""
    logger = TensorBoardLogger(patience_seconds=30.0)
    logger.begin(CONFIG, name="a run", folder=folder)
    for each in histories:
        logger.epoch_ended(each)
    if not killed:
        logger.end(metrics, folder, state)
    logger.close()


def shown(folder):
    return EventAccumulator(str(folder / "tensorboard")).Reload()


def steps(folder, tag):
    return [event.step for event in shown(folder).Scalars(tag)]


def values(folder, tag):
    return [event.value for event in shown(folder).Scalars(tag)]


def text(found, tag):
    return [event.tensor_proto.string_val[0].decode() for event in found.Tensors(f"{tag}/text_summary")]


def test_every_number_of_every_epoch_is_shown_at_its_epoch(tmp_path):
    life(tmp_path, [history(1), history(2), history(3)])
    found = shown(tmp_path)
    assert sorted(found.Tags()["scalars"]) == sorted([*PER_EPOCH, "test/c_td", "test/nll"])
    for tag in PER_EPOCH:
        assert steps(tmp_path, tag) == [1, 2, 3]
        assert values(tmp_path, tag) == pytest.approx([getattr(epoch, tag) for epoch in history(3).epochs])


def test_what_a_model_is_before_its_first_step_is_shown_at_epoch_0(tmp_path):
    started = started_from_a_fit(history(2))
    life(tmp_path, [started], killed=True)
    life(tmp_path, [started_from_a_fit(history(3))])
    assert values(tmp_path, "val_loss") == pytest.approx([2.5, *(epoch.val_loss for epoch in history(3).epochs)])
    for tag in PER_EPOCH:
        is_validated = tag in {"train_loss", "val_loss", "val_c_td"}
        assert steps(tmp_path, tag) == ([0] if is_validated else []) + [1, 2, 3]


def test_the_end_and_the_config_are_shown(tmp_path):
    life(tmp_path, [history(2)])
    found = shown(tmp_path)
    assert [(event.step, event.value) for event in found.Scalars("test/c_td")] == [(2, 0.75)]
    assert text(found, "state") == ["finished"]
    (config,) = text(found, "config")
    assert "| model.dropout | 0.3 |\n" in config
    assert "| resume | null |\n" in config


def test_a_c_td_that_is_not_defined_is_a_gap(tmp_path):
    life(tmp_path, [history(2, val_c_td=float("nan"))])
    assert "val_c_td" not in shown(tmp_path).Tags()["scalars"]
    assert steps(tmp_path, "val_loss") == [1, 2]


def test_a_run_that_goes_on_shows_each_epoch_once(tmp_path):
    life(tmp_path, [history(1), history(2)], killed=True)
    life(tmp_path, [history(3), history(4)])
    assert steps(tmp_path, "train_loss") == [1, 2, 3, 4]
    assert len(list((tmp_path / "tensorboard").iterdir())) == 2


def test_epochs_that_come_again_replace_what_was_written_of_them(tmp_path):
    life(tmp_path, [history(1), history(2), history(3)], killed=True)
    life(tmp_path, [history(2, shift=0.5), history(3, shift=0.5)])
    assert steps(tmp_path, "train_loss") == [1, 2, 3]
    assert values(tmp_path, "train_loss") == pytest.approx([2.9, 3.3, 3.2])


def test_epochs_of_a_life_that_was_not_tracked_are_told_too(tmp_path):
    life(tmp_path, [history(3)], killed=True)
    life(tmp_path, [history(5)])
    assert steps(tmp_path, "val_loss") == [1, 2, 3, 4, 5]


def test_a_run_that_goes_on_after_its_end_keeps_both_ends(tmp_path):
    life(tmp_path, [history(2)])
    life(tmp_path, [history(3)], metrics={"test.c_td": 0.8})
    assert [(event.step, event.value) for event in shown(tmp_path).Scalars("test/c_td")] == [
        (2, 0.75),
        (3, pytest.approx(0.8)),
    ]


def test_a_run_killed_after_its_last_epoch_tells_its_end_only(tmp_path):
    life(tmp_path, [history(2)], killed=True)
    life(tmp_path, [])
    assert steps(tmp_path, "lr") == [1, 2]
    assert steps(tmp_path, "test/c_td") == [2]


@pytest.mark.parametrize("torn", [1, 40, 150, 300])
def test_an_epoch_torn_by_a_kill_is_written_again(torn, tmp_path):
    life(tmp_path, [history(1), history(2)], killed=True)
    (file,) = (tmp_path / "tensorboard").iterdir()
    file.write_bytes(file.read_bytes()[:-torn])
    life(tmp_path, [history(3)])
    for tag in PER_EPOCH:
        assert steps(tmp_path, tag) == [1, 2, 3]


def test_a_run_that_failed_before_its_first_epoch_says_so(tmp_path):
    life(tmp_path, [], metrics={}, state="failed")
    assert text(shown(tmp_path), "state") == ["failed"]


def test_a_folder_that_can_not_be_made_is_one_warning(tmp_path, caplog):
    (tmp_path / "tensorboard").write_text("in the way")
    guarded = BackgroundLogger(TensorBoardLogger(patience_seconds=30.0))
    guarded.begin(CONFIG, name="a run", folder=tmp_path)
    guarded.epoch_ended(history(1))
    guarded.end(METRICS, tmp_path, "finished")
    guarded.close()
    (said,) = warnings_in(caplog)
    assert "FileExistsError" in said
    assert "Check that the folder tensorboard in the run's folder can be written and that there is free space" in said


def test_a_full_disk_is_one_warning(tmp_path, caplog):
    guarded = BackgroundLogger(TensorBoardLogger(patience_seconds=30.0))
    guarded.begin(CONFIG, name="a run", folder=tmp_path)
    guarded.epoch_ended(history(1))
    guarded.end({}, tmp_path, "finished")
    (file,) = (tmp_path / "tensorboard").iterdir()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + 100, hard))
    try:
        for number in range(2, 5):
            guarded.epoch_ended(history(number))
        guarded.end({}, tmp_path, "finished")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    guarded.close()
    (said,) = warnings_in(caplog)
    assert "File too large" in said


def test_without_the_package_the_extra_is_named(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("torch.utils.tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ConfigError, match=r"logger=tensorboard needs the extra tensorboard: pip install 'survlstm\["):
        TensorBoardLogger(patience_seconds=30.0)
