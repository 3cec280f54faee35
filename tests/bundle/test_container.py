"""The files of a bundle: what was written comes back, and whatever is not what was written is refused."""

import json
import zipfile

import pytest

from survlstm.bundle.container import FORMAT_VERSION, INDEX, read_container, write_container
from survlstm.errors import BundleError

FILES = {"weights.bin": bytes(range(256)) * 3, "figures/a.png": b"picture", "empty.txt": b""}
ABOUT = {"name": "small", "epoch": 3}


@pytest.fixture(params=["bundle", "bundle.zip"])
def written(tmp_path, request):
    write_container(tmp_path / request.param, FILES, ABOUT)
    return tmp_path / request.param


def test_what_was_written_comes_back(written):
    found = read_container(written)
    assert (found.files, found.about) == (FILES, ABOUT)


def test_a_folder_and_an_archive_stand_where_asked_and_nothing_beside_them(tmp_path):
    write_container(tmp_path / "deep" / "bundle", FILES, ABOUT)
    write_container(tmp_path / "deep" / "bundle.zip", FILES, ABOUT)
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["bundle", "bundle.zip"]
    with zipfile.ZipFile(tmp_path / "deep" / "bundle.zip") as archive:
        archive.extractall(tmp_path / "unpacked")
    assert read_container(tmp_path / "unpacked").files == FILES


def test_equal_content_gives_equal_archives(tmp_path):
    for name in ("one.zip", "other.zip"):
        write_container(tmp_path / name, FILES, ABOUT)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "other.zip").read_bytes()


def test_an_output_that_stands_already_is_left_alone(written):
    with pytest.raises(BundleError, match=r"output must be new; .* is there already"):
        write_container(written, {}, {})
    assert read_container(written).files == FILES


def test_a_place_that_can_not_be_written_is_told_and_nothing_is_left(tmp_path):
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
            read_container(tmp_path / "bundle")
    file.write_bytes(whole)
    assert read_container(tmp_path / "bundle").files == FILES


def test_every_truncation_of_an_archive_is_noticed(tmp_path):
    write_container(tmp_path / "bundle.zip", FILES, ABOUT)
    whole = (tmp_path / "bundle.zip").read_bytes()
    for length in range(0, len(whole), 11):
        (tmp_path / "bundle.zip").write_bytes(whole[:length])
        with pytest.raises(BundleError, match=r"bundle\.zip can't be read"):
            read_container(tmp_path / "bundle.zip")


def test_a_flipped_byte_of_an_archive_is_noticed_or_changes_nothing(tmp_path):
    write_container(tmp_path / "bundle.zip", FILES, ABOUT)
    whole = (tmp_path / "bundle.zip").read_bytes()
    refused = 0
    for place in range(0, len(whole), 3):
        (tmp_path / "bundle.zip").write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        try:
            assert read_container(tmp_path / "bundle.zip").files == FILES
        except BundleError:
            refused += 1
    assert refused > len(whole) / 3 / 2


def test_a_longer_file_is_noticed(tmp_path):
    write_container(tmp_path / "bundle", FILES, ABOUT)
    with (tmp_path / "bundle" / "weights.bin").open("ab") as stream:
        stream.write(b"more")
    with pytest.raises(BundleError, match=r"weights\.bin in .* has been changed or damaged"):
        read_container(tmp_path / "bundle")


def test_a_missing_file_is_named(tmp_path):
    write_container(tmp_path / "bundle", FILES, ABOUT)
    (tmp_path / "bundle" / "figures" / "a.png").unlink()
    with pytest.raises(BundleError, match=r"lacks figures/a\.png"):
        read_container(tmp_path / "bundle")


def test_a_file_that_is_not_listed_is_passed_over(tmp_path):
    write_container(tmp_path / "bundle", FILES, ABOUT)
    (tmp_path / "bundle" / "notes.txt").write_text("mine")
    assert read_container(tmp_path / "bundle").files == FILES


def rewrite(folder, **changes):
    index = json.loads((folder / INDEX).read_text())
    (folder / INDEX).write_text(json.dumps(index | changes))


def test_a_newer_bundle_says_what_to_do(tmp_path):
    write_container(tmp_path / "bundle", FILES, ABOUT)
    rewrite(tmp_path / "bundle", format_version=FORMAT_VERSION + 1, unheard_of=1)
    with pytest.raises(BundleError, match=r"written by a newer survlstm \(format 2; this one reads up to 1\). Update"):
        read_container(tmp_path / "bundle")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": "other"}, "must be a survlstm bundle; its index says 'other'"),
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
        read_container(tmp_path / "bundle")


def test_names_that_lead_elsewhere_are_refused(tmp_path):
    write_container(tmp_path / "bundle", {"../outside": b"1"}, ABOUT)
    with pytest.raises(BundleError, match="has been changed since the export"):
        read_container(tmp_path / "bundle")


def test_what_is_no_bundle_says_so(tmp_path):
    with pytest.raises(BundleError, match="must be what survlstm export wrote; found nothing at"):
        read_container(tmp_path / "nothing")
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(BundleError, match=r"found none in .*\. Name what survlstm export wrote"):
        read_container(tmp_path)
    (tmp_path / "checkpoints" / "best.pt").touch()
    with pytest.raises(BundleError, match="Export it first: survlstm export run="):
        read_container(tmp_path)
    (tmp_path / "text.zip").write_text("no archive")
    with pytest.raises(BundleError, match=r"text\.zip can't be read"):
        read_container(tmp_path / "text.zip")
