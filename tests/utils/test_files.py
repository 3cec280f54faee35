"""Whole files and folders, private ones, and locks that end with their process."""

import os
import signal
import stat
import threading
import time
from contextlib import ExitStack

import pytest

from survlstm.utils import files
from survlstm.utils.files import (
    PRIVATE_FOLDER,
    abandoned_files,
    atomic_file,
    atomic_files,
    atomic_folder,
    create_private,
    file_lock,
    is_locked,
    write_json,
    write_text,
)
from tests.lives import forked


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_appears_with_all_of_its_content(tmp_path):
    with atomic_file(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        assert not (tmp_path / "a.txt").exists()
        temporary.write_text("whole")
    assert (tmp_path / "a.txt").read_text() == "whole"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("no"), KeyboardInterrupt()])
def test_a_write_that_fails_midway_leaves_what_was_there(tmp_path, error):
    write_text(tmp_path / "a.txt", "before")

    def write_half():
        with atomic_file(tmp_path / "a.txt") as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(type(error)):
        write_half()
    assert (tmp_path / "a.txt").read_text() == "before"
    assert names(tmp_path) == ["a.txt"]


def test_a_name_that_is_taken_by_a_folder_is_an_error_and_leaves_nothing(tmp_path):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(OSError, match=r"a\.txt"):
        write_text(tmp_path / "a.txt", "text")
    assert names(tmp_path) == ["a.txt"]


def test_a_folder_that_has_vanished_is_not_made_again(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone"):
        write_text(tmp_path / "gone" / "a.txt", "text")
    assert names(tmp_path) == []


def test_a_private_file_is_private_from_the_start_and_where_modes_cannot_be_changed(tmp_path, monkeypatch):
    old = tmp_path / "old"
    old.touch()
    old.chmod(0o644)
    create_private(old)
    assert mode(old) == 0o600

    def refused(*_):
        raise OSError("no modes here")

    monkeypatch.setattr(os, "fchmod", refused)
    create_private(tmp_path / "new")
    assert mode(tmp_path / "new") == 0o600


@pytest.mark.parametrize("before", [None, 0o644])
def test_a_private_file_can_be_read_by_its_owner_alone(tmp_path, before):
    path = tmp_path / "a.json"
    if before is not None:
        path.touch()
        path.chmod(before)
    modes = []
    with atomic_file(path, private=True) as temporary:
        modes.append(mode(temporary))
        temporary.write_text("text")
    assert [*modes, mode(path)] == [0o600, 0o600]
    write_json(path, {"a": 1}, private=True)
    assert mode(path) == 0o600


def test_a_durable_file_and_its_folder_are_flushed(tmp_path, monkeypatch):
    flushed = []
    fsync = os.fsync

    def watched(descriptor):
        flushed.append((stat.S_ISDIR(os.fstat(descriptor).st_mode), names(tmp_path)[-1]))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    with atomic_file(tmp_path / "a.pt", durable=True) as temporary:
        temporary.write_bytes(b"state")
    # The file before it gets its name, the folder after that.
    assert flushed == [(False, temporary.name), (True, "a.pt")]


def test_json_has_no_number_that_is_not_finite(tmp_path):
    write_json(tmp_path / "a.json", {"a": [float("nan"), 1.5], "b": (float("inf"),)})
    assert "".join((tmp_path / "a.json").read_text().split()) == '{"a":[null,1.5],"b":[null]}'


def test_a_folder_appears_whole(tmp_path):
    with atomic_folder(tmp_path / "above" / "made") as temporary:
        temporary.mkdir(mode=PRIVATE_FOLDER)
        (temporary / "a").write_text("1")
        assert not (tmp_path / "above" / "made").exists()
    assert names(tmp_path / "above") == ["made", "made/a"]
    assert mode(tmp_path / "above" / "made") == 0o700


def test_a_folder_that_fails_midway_is_not_there(tmp_path):
    def make_half():
        with atomic_folder(tmp_path / "made") as temporary:
            temporary.mkdir()
            (temporary / "a").write_text("1")
            raise ValueError("midway")

    with pytest.raises(ValueError, match="midway"):
        make_half()
    assert names(tmp_path) == []


def test_an_empty_folder_is_replaced_and_a_full_one_is_not(tmp_path):
    (tmp_path / "made").mkdir()

    def make(content, **options):
        with atomic_folder(tmp_path / "made", **options) as temporary:
            temporary.mkdir()
            (temporary / "a").write_text(content)

    make("first")
    with pytest.raises(OSError, match="made"):
        make("second")
    # Of two that write the same entry of a cache at once the first stays.
    make("second", keep_existing=True)
    assert names(tmp_path) == ["made", "made/a"]
    assert (tmp_path / "made" / "a").read_text() == "first"


def test_a_folder_that_nobody_has_made_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_folder(tmp_path / "made", keep_existing=True):
        pass


def test_files_of_a_folder_are_replaced_after_all_are_written(tmp_path):
    (tmp_path / "a").write_text("before")
    (tmp_path / "mine").write_text("mine")

    def write(error=None):
        with atomic_files(tmp_path) as temporary:
            (temporary / "figures").mkdir()
            (temporary / "figures" / "b").write_text("b")
            (temporary / "a").write_text("now")
            assert (tmp_path / "a").read_text() == "before"
            if error is not None:
                raise error

    with pytest.raises(ValueError, match="midway"):
        write(ValueError("midway"))
    assert (names(tmp_path), (tmp_path / "a").read_text()) == (["a", "mine"], "before")
    write()
    assert names(tmp_path) == ["a", "figures", "figures/b", "mine"]
    assert (tmp_path / "a").read_text() == "now"


def write_on_and_on(path):
    for number in range(10**9):
        with atomic_file(path) as temporary, temporary.open("w") as stream:
            stream.write(f"{number}\n" * 1000)
            (path.parent / "begun").touch()
            stream.write(f"{number}\n" * 1000)


def test_a_killed_writer_leaves_a_whole_file_and_what_it_leaves_beside_is_found(tmp_path):
    (tmp_path / ".a.txt.swp").write_text("an editor's")
    path = tmp_path / "a.txt"
    for _ in range(5):
        writer = forked(write_on_and_on, path)
        waited_for(path.exists)
        time.sleep(0.02)
        killed(writer)
        lines = path.read_text().splitlines()
        assert len(lines) == 2000
        assert len(set(lines)) == 1
    for left in abandoned_files(tmp_path):
        left.unlink()
    assert names(tmp_path) == [".a.txt.swp", "a.txt", "begun"]


def test_two_writers_of_one_file_at_once_both_end_with_a_whole_one(tmp_path):
    path = tmp_path / "a.txt"

    def write(letter):
        for _ in range(200):
            write_text(path, letter * 5000)

    writers = [threading.Thread(target=write, args=(letter,)) for letter in "ab"]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        if path.exists():
            assert path.read_text() in {"a" * 5000, "b" * 5000}
    for writer in writers:
        writer.join()
    assert names(tmp_path) == ["a.txt"]


def hold(path, held):
    with file_lock(path):
        held.touch()
        time.sleep(60)


def hold_with_a_child(path, held):
    with file_lock(path):
        child = os.fork()
        if child == 0:
            # What a loader's worker is: it has the descriptor, and goes when it sees that its parent has gone.
            parent = os.getppid()
            while os.getppid() == parent:
                time.sleep(0.01)
            os._exit(0)
        held.touch()
        time.sleep(60)


def waited_for(condition, within=60.0):
    latest = time.monotonic() + within
    while not condition():
        assert time.monotonic() < latest
        time.sleep(0.005)


def killed(process):
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    process.close()


def test_another_process_holds_a_lock_until_it_is_killed(tmp_path):
    path = tmp_path / "lock"
    for target in (hold, hold_with_a_child):
        holder = forked(target, path, tmp_path / "held")
        waited_for((tmp_path / "held").exists)
        assert is_locked(path)
        with pytest.raises(TimeoutError, match=f"another process holds the lock {path}"), file_lock(path, timeout=0):
            pass
        began = time.monotonic()
        with pytest.raises(TimeoutError), file_lock(path, timeout=0.3):
            pass
        assert 0.3 <= time.monotonic() - began < 5
        killed(holder)
        with file_lock(path, timeout=30) as unavailable:
            assert unavailable is None
            assert is_locked(path)
        assert not is_locked(path)
        (tmp_path / "held").unlink()


def test_who_waits_gets_the_lock_when_its_holder_is_killed(tmp_path):
    path = tmp_path / "lock"
    holder = forked(hold, path, tmp_path / "held")
    waited_for((tmp_path / "held").exists)
    got = threading.Event()

    def wait():
        with file_lock(path):
            got.set()

    waiter = threading.Thread(target=wait)
    waiter.start()
    assert not got.wait(0.2)
    killed(holder)
    assert got.wait(30)
    waiter.join()


def count_up(path, number):
    for _ in range(number):
        with file_lock(path.with_name("lock")):
            before = int(path.read_text())
            path.write_text(str(before + 1))


def test_processes_wait_for_each_other(tmp_path):
    path = tmp_path / "number"
    path.write_text("0")
    processes = [forked(count_up, path, 20) for _ in range(3)]
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert path.read_text() == "60"


def test_an_error_in_the_block_releases_the_lock(tmp_path):
    path = tmp_path / "folder" / "lock"
    with pytest.raises(ValueError, match="no"), file_lock(path):
        raise ValueError("no")
    assert not is_locked(path)
    # It stays, for one that waits for it now.
    assert path.exists()


def test_to_ask_makes_nothing_and_changes_nothing(tmp_path):
    with pytest.raises(FileNotFoundError):
        is_locked(tmp_path / "lock")
    assert names(tmp_path) == []
    (tmp_path / "lock").write_text("content")
    before = (tmp_path / "lock").stat()
    assert not is_locked(tmp_path / "lock")
    after = (tmp_path / "lock").stat()
    assert (after.st_mtime_ns, after.st_size) == (before.st_mtime_ns, before.st_size)
    with file_lock(tmp_path / "lock"):
        assert is_locked(tmp_path / "lock")
    assert (tmp_path / "lock").read_text() == "content"


def test_a_file_that_can_only_be_read_can_be_asked(tmp_path, monkeypatch):
    path = tmp_path / "lock"
    opened = os.open

    def read_only(name, flags, *rest):
        # To root every file is one that can be written.
        if flags & os.O_RDWR:
            raise PermissionError(13, "Permission denied", str(name))
        return opened(name, flags, *rest)

    with file_lock(path), monkeypatch.context() as patch:
        patch.setattr(os, "open", read_only)
        assert is_locked(path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", read_only)
        assert not is_locked(path)


def test_those_who_only_ask_do_not_take_each_other_for_a_holder(tmp_path):
    path, stop, found = tmp_path / "lock", threading.Event(), []
    path.touch()

    def ask():
        while not stop.is_set():
            found.append(is_locked(path))

    askers = [threading.Thread(target=ask) for _ in range(2)]
    for asker in askers:
        asker.start()
    time.sleep(0.3)
    stop.set()
    for asker in askers:
        asker.join()
    assert len(found) > 50
    assert not any(found)


def test_where_a_file_system_has_no_locks_the_block_runs_and_is_told(tmp_path, monkeypatch):
    def no_locks(*_, **__):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(files, "lock_descriptor", no_locks)
    with file_lock(tmp_path / "lock") as first, file_lock(tmp_path / "lock", timeout=0) as second:
        assert [str(first), str(second)] == 2 * ["[Errno 95] Operation not supported"]
    with pytest.raises(OSError, match="not supported"), file_lock(tmp_path / "lock", required=True):
        pass
    with pytest.raises(OSError, match="not supported"):
        is_locked(tmp_path / "lock")


def test_a_lock_file_that_can_not_be_opened_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with ExitStack() as stack, pytest.raises(OSError, match="file"):
        stack.enter_context(file_lock(tmp_path / "file" / "lock"))
    (tmp_path / "lock").mkdir()
    with ExitStack() as stack, pytest.raises(IsADirectoryError):
        stack.enter_context(file_lock(tmp_path / "lock"))
