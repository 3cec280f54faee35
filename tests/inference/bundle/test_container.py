"""Tests of the container of a bundle: files are read unchanged, and every change is refused."""

import hashlib
import json
import os
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from survlstm.inference.bundle.container import FORMAT_VERSION, INDEX, MOST_KEPT_BYTES, read_container, write_container
from survlstm.utils.errors import BundleError

FILES = {"weights.bin": bytes(range(256)) * 3, "figures/a.png": b"picture", "empty.txt": b""}
ABOUT = {"name": "small", "epoch": 3}


@pytest.fixture(params=["bundle", "bundle.zip"])
def written(tmp_path, request):
    write_container(tmp_path / request.param, FILES, ABOUT)
    return tmp_path / request.param


def test_what_was_written_comes_back(written):
    found = read_container(written, FILES)
    assert (found.files, found.about) == (FILES, ABOUT)


def test_a_folder_and_an_archive_stand_where_asked_and_nothing_beside_them(tmp_path):
    write_container(tmp_path / "deep" / "bundle", FILES, ABOUT)
    write_container(tmp_path / "deep" / "bundle.zip", FILES, ABOUT)
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["bundle", "bundle.zip"]
    with zipfile.ZipFile(tmp_path / "deep" / "bundle.zip") as archive:
        archive.extractall(tmp_path / "unpacked")
    assert read_container(tmp_path / "unpacked", FILES).files == FILES


def test_equal_content_gives_equal_archives(tmp_path):
    for name in ("one.zip", "other.zip"):
        write_container(tmp_path / name, FILES, ABOUT)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "other.zip").read_bytes()


def test_an_output_that_stands_already_is_left_alone(written):
    with pytest.raises(BundleError, match=r"output must be new; .* is there already"):
        write_container(written, {}, {})
    assert read_container(written, FILES).files == FILES


def test_an_output_that_cannot_be_written_is_reported_and_nothing_is_left(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(BundleError, match=r"a bundle must be written to .*; the system says"):
        write_container(tmp_path / "file" / "bundle", FILES, ABOUT)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("name", ["weights.bin", "figures/a.png", INDEX])
def test_every_flipped_byte_of_a_folder_is_noticed(tmp_path, name):
    write_container(tmp_path / "bundle", FILES, ABOUT)
    file = tmp_path / "bundle" / name
    whole = file.read_bytes()
    for place in range(0, len(whole), 7):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(BundleError, match=r"bundle|format|index|newer"):
            read_container(tmp_path / "bundle", FILES)
    file.write_bytes(whole)
    assert read_container(tmp_path / "bundle", FILES).files == FILES


def test_every_truncation_of_an_archive_is_noticed(tmp_path):
    write_container(tmp_path / "bundle.zip", FILES, ABOUT)
    whole = (tmp_path / "bundle.zip").read_bytes()
    for length in range(0, len(whole), 11):
        (tmp_path / "bundle.zip").write_bytes(whole[:length])
        with pytest.raises(BundleError, match=r"bundle\.zip can't be read"):
            read_container(tmp_path / "bundle.zip", FILES)


def test_a_flipped_byte_of_an_archive_is_noticed_or_changes_nothing(tmp_path):
    write_container(tmp_path / "bundle.zip", FILES, ABOUT)
    whole = (tmp_path / "bundle.zip").read_bytes()
    refused = 0
    for place in range(0, len(whole), 3):
        (tmp_path / "bundle.zip").write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        try:
            assert read_container(tmp_path / "bundle.zip", FILES).files == FILES
        except BundleError:
            refused += 1
    assert refused > len(whole) / 3 / 2


def test_a_longer_file_is_noticed(tmp_path):
    write_container(tmp_path / "bundle", FILES, ABOUT)
    with (tmp_path / "bundle" / "weights.bin").open("ab") as stream:
        stream.write(b"more")
    with pytest.raises(BundleError, match=r"weights\.bin in .* has been changed or damaged"):
        read_container(tmp_path / "bundle", FILES)


def test_a_missing_file_is_named(tmp_path):
    write_container(tmp_path / "bundle", FILES, ABOUT)
    (tmp_path / "bundle" / "figures" / "a.png").unlink()
    with pytest.raises(BundleError, match=r"lacks figures/a\.png"):
        read_container(tmp_path / "bundle", FILES)


def test_a_file_that_is_not_listed_is_passed_over(tmp_path):
    write_container(tmp_path / "bundle", FILES, ABOUT)
    (tmp_path / "bundle" / "notes.txt").write_text("mine")
    assert read_container(tmp_path / "bundle", FILES).files == FILES


def rewrite(folder, **changes):
    index = json.loads((folder / INDEX).read_text())
    (folder / INDEX).write_text(json.dumps(index | changes))


def test_a_newer_bundle_says_what_to_do(tmp_path):
    write_container(tmp_path / "bundle", FILES, ABOUT)
    rewrite(tmp_path / "bundle", format_version=FORMAT_VERSION + 1, unheard_of=1)
    with pytest.raises(BundleError, match=r"written by a newer survlstm \(format 2; this one reads up to 1\). Update"):
        read_container(tmp_path / "bundle", FILES)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": "other"}, "must have the format 'survlstm bundle'; its index says 'other'"),
        ({"about": {"name": "better"}}, "has been changed since the export"),
        ({"files": {}}, "has been changed since the export"),
        ({"format_version": "1"}, "can't be read"),
        ({"files": 3}, "can't be read"),
    ],
)
def test_a_changed_index_is_refused(tmp_path, changes, said):
    write_container(tmp_path / "bundle", FILES, ABOUT)
    rewrite(tmp_path / "bundle", **changes)
    with pytest.raises(BundleError, match=said):
        read_container(tmp_path / "bundle", FILES)


def test_names_that_lead_elsewhere_are_refused(tmp_path):
    write_container(tmp_path / "bundle", {"../outside": b"1"}, ABOUT)
    with pytest.raises(BundleError, match="has been changed since the export"):
        read_container(tmp_path / "bundle", FILES)


def test_a_name_that_no_file_can_have_is_refused(tmp_path):
    write_container(tmp_path / "bundle.zip", {"a\0b": b"1"}, ABOUT)
    with pytest.raises(BundleError, match="has been changed since the export"):
        read_container(tmp_path / "bundle.zip", FILES)


def test_only_what_is_asked_for_is_kept_and_all_of_it_is_checked(written):
    assert read_container(written, {"figures/a.png", "other"}).files == {"figures/a.png": b"picture"}
    if written.is_dir():
        (written / "weights.bin").write_bytes(FILES["weights.bin"][::-1])
        with pytest.raises(BundleError, match=r"weights\.bin in .* has been changed or damaged"):
            read_container(written, {"figures/a.png"})


@pytest.mark.parametrize("name", ["bundle", "bundle.zip"])
def test_a_large_file_that_nobody_asked_for_takes_no_memory(tmp_path, name):
    size = 1 << 26
    write_container(tmp_path / name, FILES | {"figures/large.png": bytes(size)}, ABOUT)
    tracemalloc.start()
    try:
        read_container(tmp_path / name, FILES)
        assert tracemalloc.get_traced_memory()[1] < size / 8
        read_container(tmp_path / name, {"figures/large.png"})
        assert size < tracemalloc.get_traced_memory()[1] < 1.5 * size
    finally:
        tracemalloc.stop()


def reseal(folder, files):
    """Change the files in an index and update its checksum to match."""
    index = json.loads((folder / INDEX).read_text())
    index["files"] |= files
    del index["sha256"]
    index["sha256"] = hashlib.sha256(json.dumps(index, sort_keys=True).encode()).hexdigest()
    (folder / INDEX).write_text(json.dumps(index))


def test_more_than_is_held_in_memory_is_refused_before_it_is_read(tmp_path):
    write_container(tmp_path / "bundle", FILES, ABOUT)
    with (tmp_path / "bundle" / "weights.bin").open("r+b") as stream:
        stream.truncate(MOST_KEPT_BYTES)
    reseal(tmp_path / "bundle", {"weights.bin": {"bytes": MOST_KEPT_BYTES, "sha256": "0"}})
    with pytest.raises(BundleError, match=r"must have at most 4,294,967,296 bytes; .* lists 4,294,967,303\. Export a"):
        read_container(tmp_path / "bundle", FILES)


@pytest.mark.parametrize(
    ("name", "size"), [("figures/a.png", 0), ("figures/a.png", 3), ("figures/a.png", 10**15), ("empty.txt", 3)]
)
def test_a_wrong_size_in_the_index_is_noticed(tmp_path, name, size):
    write_container(tmp_path / "bundle", FILES, ABOUT)
    listed = {"bytes": size, "sha256": hashlib.sha256(FILES[name][:size]).hexdigest()}
    reseal(tmp_path / "bundle", {name: listed})
    with pytest.raises(BundleError, match=rf"{name} in .* has been changed or damaged"):
        read_container(tmp_path / "bundle", {"weights.bin"})


def test_what_would_unpack_at_once_is_not_unpacked(tmp_path):
    write_container(tmp_path / "bundle", FILES, ABOUT)
    with zipfile.ZipFile(tmp_path / "other.zip", "w", zipfile.ZIP_BZIP2) as archive:
        for name in (INDEX, *FILES):
            archive.write(tmp_path / "bundle" / name, name)
    with pytest.raises(BundleError, match=r"must be deflated or stored; bundle\.json in .* is compressed otherwise"):
        read_container(tmp_path / "other.zip", FILES)


def test_what_is_not_listed_is_not_looked_at(tmp_path):
    write_container(tmp_path / "bundle", FILES, ABOUT)
    (tmp_path / "bundle" / "nowhere").symlink_to("missing")
    (tmp_path / "bundle" / "round").symlink_to("round")
    (tmp_path / "bundle" / "up").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "bundle" / "pipe")
    assert read_container(tmp_path / "bundle", FILES).files == FILES


def test_a_folder_of_anything_is_not_searched():
    with pytest.raises(BundleError, match=r"must hold bundle\.json; found none in /\. Name the folder"):
        read_container(Path("/"), FILES)


def test_files_that_lie_elsewhere_are_refused(tmp_path):
    write_container(tmp_path / "bundle", FILES, ABOUT)
    weights = tmp_path / "bundle" / "weights.bin"
    weights.rename(tmp_path / "weights.bin")
    weights.symlink_to(tmp_path / "weights.bin")
    with pytest.raises(BundleError, match=r"must lie in it; weights\.bin in .* leads elsewhere\. Put a copy"):
        read_container(tmp_path / "bundle", FILES)
    (tmp_path / "weights.bin").rename(tmp_path / "bundle" / "held.bin")
    weights.unlink()
    weights.symlink_to("held.bin")
    (tmp_path / "link").symlink_to("bundle")
    assert read_container(tmp_path / "link", FILES).files == FILES


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
@pytest.mark.parametrize("name", ["weights.bin", INDEX])
def test_what_is_listed_and_no_file_is_refused(tmp_path, make, name):
    write_container(tmp_path / "bundle", FILES, ABOUT)
    (tmp_path / "bundle" / name).unlink()
    make(tmp_path / "bundle" / name)
    with pytest.raises(BundleError, match=rf"a bundle must list files only; {name} in .* is not a file\. Copy"):
        read_container(tmp_path / "bundle", FILES)


def test_what_is_no_bundle_says_so(tmp_path):
    with pytest.raises(BundleError, match="that survlstm export wrote; found nothing at"):
        read_container(tmp_path / "nothing", FILES)
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(BundleError, match=r"found none in .*\. Name the folder or \.zip that survlstm export wrote"):
        read_container(tmp_path, FILES)
    (tmp_path / "checkpoints" / "best.pt").touch()
    with pytest.raises(BundleError, match="Export it first: survlstm export run="):
        read_container(tmp_path, FILES)
    (tmp_path / "text.zip").write_text("no archive")
    with pytest.raises(BundleError, match=r"text\.zip can't be read"):
        read_container(tmp_path / "text.zip", FILES)
