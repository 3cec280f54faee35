"""Checkpoints are complete or raise an error, whatever happens to the writer, the disk and the file."""

import hashlib
import io
import os
import random
import resource
import shutil
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from survlstm.training.checkpoint import Checkpointer, load_checkpoint, load_latest, remove_unfinished
from survlstm.training.history import History
from survlstm.utils.errors import CheckpointError
from tests.lives import done_by, forked
from tests.states import written_out

ABOUT = {"vocabulary": ["[PAD]", "[UNK]"]}


def state_of(epoch, *, size=20):
    generator = torch.Generator().manual_seed(epoch)
    return {"model": {"weight": torch.rand(size, generator=generator)}, "progress": {"epoch": epoch, "steps": 3}}


def opened(folder, *, every_epochs=10):
    checkpointer = Checkpointer(folder, every_epochs, ABOUT)
    checkpointer.open()
    return checkpointer


def save(checkpointer, epoch, *, is_epochs_end=True, size=20):
    checkpointer.save_last(state_of(epoch, size=size), epoch=epoch, is_epochs_end=is_epochs_end)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def epochs_in(folder):
    return {path.stem: load_checkpoint(path)["epoch"] for path in folder.glob("*.pt")}


def test_what_was_saved_comes_back(tmp_path):
    checkpointer = opened(tmp_path)
    save(checkpointer, 4)
    checkpointer.save_best({"weight": torch.arange(3)}, epoch=2)
    last = load_checkpoint(tmp_path / "checkpoints" / "last.pt")
    assert last.keys() == {"model", "progress", "epoch", "about"}
    assert written_out(last) == written_out({**state_of(4), "epoch": 4})
    assert last["about"] == ABOUT
    assert checkpointer.best()["epoch"] == 2
    assert checkpointer.best()["model"]["weight"].tolist() == [0, 1, 2]


def test_a_checkpoint_is_a_plain_archive_that_torch_reads_without_running_code(tmp_path):
    save(opened(tmp_path), 4)
    path = tmp_path / "checkpoints" / "last.pt"
    assert torch.load(path, weights_only=True)["epoch"] == 4
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.comment.startswith(b"survlstm sha256 ")


def test_the_one_before_and_every_nth_epoch_are_kept(tmp_path):
    checkpointer = opened(tmp_path, every_epochs=2)
    for epoch in range(1, 6):
        save(checkpointer, epoch, is_epochs_end=False)
        save(checkpointer, epoch)
    assert epochs_in(tmp_path / "checkpoints") == {"last": 5, "previous": 5, "epoch_0002": 2, "epoch_0004": 4}


def test_within_an_epoch_none_is_kept_for_good(tmp_path):
    checkpointer = opened(tmp_path, every_epochs=2)
    for epoch in (1, 2, 3):
        save(checkpointer, epoch, is_epochs_end=False)
    assert epochs_in(tmp_path / "checkpoints") == {"last": 3, "previous": 2}


@pytest.fixture
def folder(tmp_path):
    """Write two states; the last one is small enough to damage at every byte."""
    checkpointer = opened(tmp_path)
    save(checkpointer, 1)
    save(checkpointer, 2)
    return tmp_path / "checkpoints"


def test_every_flipped_bit_is_found(folder):
    path = folder / "last.pt"
    content = path.read_bytes()
    chosen = np.random.default_rng(0).integers(0, 8, len(content))
    for place, bit in enumerate(chosen):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << int(bit)]) + content[place + 1 :])
        with pytest.raises(CheckpointError, match=r"last.pt must be a whole checkpoint; its (checksum|end) is"):
            load_checkpoint(path)
    path.write_bytes(content)
    assert load_checkpoint(path)["epoch"] == 2


def test_every_truncation_and_whatever_is_added_is_found(folder):
    path = folder / "last.pt"
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=r"last.pt must be a whole checkpoint; its end is missing: it was"):
            load_checkpoint(path)
    for added in (b"\0", b"\n", content):
        path.write_bytes(content + added)
        with pytest.raises(CheckpointError, match="must be a whole checkpoint"):
            load_checkpoint(path)


def test_zeros_from_a_loss_of_power_are_found(folder):
    path = folder / "last.pt"
    content = path.read_bytes()
    path.write_bytes(content[:1000] + bytes(len(content) - 1000))
    with pytest.raises(CheckpointError, match="its end is missing"):
        load_checkpoint(path)


def test_what_is_no_checkpoint_is_told(tmp_path):
    with pytest.raises(CheckpointError, match=r"there must be a checkpoint at .*best.pt; found none. Name the folder"):
        load_checkpoint(tmp_path / "best.pt")
    (tmp_path / "best.pt").mkdir()
    with pytest.raises(CheckpointError, match="must be a checkpoint that can be read; the system says"):
        load_checkpoint(tmp_path / "best.pt")
    torch.save({"epoch": 3}, tmp_path / "old.pt")
    with pytest.raises(CheckpointError, match="its end is missing: it was truncated, or written by an older survlstm"):
        load_checkpoint(tmp_path / "old.pt")


def test_code_in_a_checkpoint_is_never_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    opened(tmp_path).save_best({"weight": Evil()}, epoch=1)
    with pytest.raises(
        CheckpointError, match=r"best.pt must be a whole checkpoint; it can't be read \(UnpicklingError"
    ):
        load_checkpoint(tmp_path / "checkpoints" / "best.pt")
    assert names(tmp_path) == ["checkpoints"]


def sealed_by_hand(path, content):
    """Write an archive of any content with a valid checksum, as an attacker could."""
    seal = b"survlstm sha256 " + hashlib.sha256(content[:-2] + (80).to_bytes(2, "little")).hexdigest().encode()
    path.write_bytes(content[:-2] + len(seal).to_bytes(2, "little") + seal)


@pytest.mark.parametrize("content", [7, [1, 2], None, {1: 2}, "text"])
def test_a_checkpoint_that_is_no_table_of_parts_is_refused(tmp_path, content):
    buffer = io.BytesIO()
    torch.save(content, buffer)
    sealed_by_hand(tmp_path / "best.pt", buffer.getvalue())
    with pytest.raises(CheckpointError, match=r"it can't be read .*it must be a dictionary with text keys"):
        load_checkpoint(tmp_path / "best.pt")


def test_a_compressed_checkpoint_is_not_unpacked(tmp_path):
    buffer, packed = io.BytesIO(), io.BytesIO()
    torch.save({"weight": torch.zeros(10**7)}, buffer)
    with zipfile.ZipFile(buffer) as archive, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as other:
        for part in archive.infolist():
            other.writestr(part.filename, archive.read(part))
    sealed_by_hand(tmp_path / "best.pt", packed.getvalue())
    assert (tmp_path / "best.pt").stat().st_size < 100_000
    with pytest.raises(CheckpointError, match="its parts are compressed"):
        load_checkpoint(tmp_path / "best.pt")


def test_the_latest_is_the_last(folder):
    latest = load_latest(folder)
    assert latest.state["epoch"] == 2
    assert latest.message == "last.pt is used"
    assert latest.damaged == ()


def test_without_a_checkpoint_there_is_no_state(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        assert load_latest(folder) == (None, "no checkpoint was saved yet", ())


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 torn"], ids=["empty", "torn"])
def test_in_place_of_a_damaged_last_one_the_one_before_is_used_and_said(folder, damage):
    (folder / "last.pt").write_bytes(damage)
    latest = load_latest(folder)
    assert latest.state["epoch"] == 1
    assert latest.message.startswith(f"{folder}/last.pt must be a whole checkpoint; its end is missing")
    assert latest.message.endswith("; previous.pt is used")
    assert latest.damaged == (folder / "last.pt",)

    remove_unfinished(folder.parent, latest.damaged)
    assert names(folder) == ["last.damaged", "previous.pt"]
    assert (folder / "last.damaged").read_bytes() == damage
    # The damaged one is not kept as the one before.
    save(Checkpointer(folder.parent, 10, ABOUT), 3)
    assert epochs_in(folder) == {"last": 3, "previous": 1}


def test_the_one_before_is_used_where_there_is_no_last_one(folder):
    (folder / "last.pt").unlink()
    assert load_latest(folder).state["epoch"] == 1


def test_with_both_damaged_nothing_is_left(folder):
    for name in ("last.pt", "previous.pt"):
        (folder / name).write_bytes(b"torn")
    with pytest.raises(
        CheckpointError,
        match=r"last.pt must be .*; .*previous.pt must be .*\. No checkpoint is left to resume from; train again",
    ):
        load_latest(folder)


def test_what_killed_writers_left_is_removed(folder):
    for name in (".last.pt.123", ".previous.pt.9", ".best.pt.77", ".epoch_0010.pt.5"):
        (folder / name).write_bytes(b"half")
    for name in (".history.json.12", f".validation.npz.{'0b' * 16}", f".manifest.json.{'1f' * 16}"):
        (folder.parent / name).write_bytes(b"half")
    remove_unfinished(folder.parent, ())
    assert names(folder) == ["last.pt", "previous.pt"]
    assert not list(folder.parent.glob(".*.*.*"))


def test_what_a_killed_process_of_the_same_number_left_is_no_obstacle(folder):
    for name in ("last", "previous"):
        (folder / f".{name}.pt.{os.getpid()}").write_bytes(b"half")
    save(Checkpointer(folder.parent, 10, ABOUT), 3)
    assert epochs_in(folder) == {"last": 3, "previous": 2}
    remove_unfinished(folder.parent, ())
    assert names(folder) == ["last.pt", "previous.pt"]


def write_on_and_on(run_folder):
    checkpointer, epoch = opened(run_folder, every_epochs=7), load_latest(run_folder / "checkpoints")
    epoch = 0 if epoch.state is None else epoch.state["epoch"]
    while True:
        epoch += 1
        # Large enough for a kill to hit the middle of a write.
        save(checkpointer, epoch, size=300_000)
        checkpointer.save_best(state_of(epoch, size=100_000)["model"], epoch=epoch)


def test_a_writer_killed_at_any_moment_leaves_whole_checkpoints(tmp_path):
    last, seen = tmp_path / "checkpoints" / "last.pt", 0
    moments = random.Random(0)
    for _ in range(25):
        writer = forked(write_on_and_on, tmp_path)
        began = seen
        deadline = time.monotonic() + 30
        while seen == began and time.monotonic() < deadline:
            # There from the first save on, and whole each time it is read, however fast it is written anew.
            if seen or last.exists():
                seen = load_checkpoint(last)["epoch"]
        time.sleep(moments.uniform(0.0, 0.03))
        writer.kill()
        writer.join()
        writer.close()
        assert epochs_in(last.parent).keys() >= {"last"}
        assert seen <= load_checkpoint(last)["epoch"]
        seen = load_checkpoint(last)["epoch"]
    assert seen > 25
    found = epochs_in(last.parent)
    assert found["last"] - found["previous"] in {0, 1}
    remove_unfinished(last.parent.parent, ())
    assert all(name.endswith(".pt") and not name.startswith(".") for name in names(last.parent))


def refuse_to_grow(run_folder, size):
    checkpointer = Checkpointer(run_folder, 1, ABOUT)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    with pytest.raises(
        CheckpointError, match=r"last.pt; the system says: .*File too large.* go on with survlstm train"
    ):
        save(checkpointer, 3, is_epochs_end=False, size=5000)
    with pytest.raises(CheckpointError, match=r"epoch_0003.pt; the system says: .*File too large"):
        save(checkpointer, 3, size=5000)
    with pytest.raises(CheckpointError, match=r"best.pt; the system says: .*What was saved before is whole"):
        checkpointer.save_best({"weight": torch.zeros(5000)}, epoch=3)
    with pytest.raises(CheckpointError, match=r"history.json; the system says: .*File too large"):
        checkpointer.save_history(History(1, 1.0, events=["went on"] * 2000))


def test_a_file_that_the_kernel_cuts_off_harms_no_earlier_one(folder):
    run_folder = folder.parent
    Checkpointer(run_folder, 1, ABOUT).save_best({"weight": torch.zeros(2)}, epoch=2)
    Checkpointer(run_folder, 1, ABOUT).save_history(History(1, 1.0))
    history = (run_folder / "history.json").read_bytes()
    done_by(refuse_to_grow, run_folder, 12_000, output=run_folder / "output")
    found = epochs_in(folder)
    assert found.pop("previous") in {1, 2}
    assert found == {"last": 2, "best": 2}
    assert (run_folder / "history.json").read_bytes() == history
    assert names(folder) == ["best.pt", "last.pt", "previous.pt"]
    assert names(run_folder) == ["checkpoints", "history.json", "output"]


def save_as_nobody(run_folder):
    os.chdir(run_folder)
    # Root may write anywhere.
    if os.geteuid() == 0:
        os.setuid(65534)
    checkpointer = Checkpointer(Path(), 1, ABOUT)
    with pytest.raises(CheckpointError, match=r"training must be saved to .*; the system says: .*Permission denied"):
        save(checkpointer, 3)
    with pytest.raises(CheckpointError, match=r"training must be saved to .*; the system says: .*Permission denied"):
        save(checkpointer, 3, is_epochs_end=False)
    with pytest.raises(CheckpointError, match=r"training must be saved to .*best.pt; .*Permission denied"):
        checkpointer.save_best({}, epoch=3)
    with pytest.raises(CheckpointError, match=r"training must be saved to .*history.json; .*Permission denied"):
        checkpointer.save_history(History(1, 1.0))


def test_a_folder_that_may_not_be_written_is_told(folder):
    output = folder.parent.parent / f"{folder.parent.name}.output"
    for path in (folder, folder.parent):
        path.chmod(0o555)
    try:
        done_by(save_as_nobody, folder.parent, output=output)
    finally:
        for path in (folder.parent, folder):
            path.chmod(0o755)
    assert epochs_in(folder) == {"last": 2, "previous": 1}
    assert names(folder) == ["last.pt", "previous.pt"]


def test_a_folder_that_vanished_is_told_and_not_made_again(folder):
    checkpointer = Checkpointer(folder.parent, 1, ABOUT)
    shutil.rmtree(folder)
    with pytest.raises(CheckpointError, match=r"saved to .*epoch_0003.pt; the system says: .*No such file"):
        save(checkpointer, 3)
    with pytest.raises(CheckpointError, match=r"saved to .*last.pt; the system says: .*No such file .*give the folder"):
        save(checkpointer, 3, is_epochs_end=False)
    with pytest.raises(CheckpointError, match=r"saved to .*best.pt; the system says"):
        checkpointer.save_best({}, epoch=3)
    assert not folder.exists()
    shutil.rmtree(folder.parent)
    with pytest.raises(CheckpointError, match=r"saved to .*history.json; the system says"):
        checkpointer.save_history(History(1, 1.0))
    with pytest.raises(CheckpointError, match=r"saved to .*checkpoints; the system says"):
        checkpointer.open()
    assert not folder.parent.exists()


def test_a_file_where_the_folder_should_be_is_told(tmp_path):
    (tmp_path / "checkpoints").write_text("a file")
    checkpointer = Checkpointer(tmp_path, 1, ABOUT)
    with pytest.raises(
        CheckpointError, match=r"training must be saved to .*checkpoints; the system says: .*File exists"
    ):
        checkpointer.open()
    with pytest.raises(CheckpointError, match=r"saved to .*checkpoints/.*\.pt; the system says: .*Not a directory"):
        save(checkpointer, 1)
    assert (tmp_path / "checkpoints").read_text() == "a file"
