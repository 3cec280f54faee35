"""Broken, locked and foreign storages: one sentence each; torn journals are mended."""

import sqlite3

import optuna
import pytest

from survlstm.tuning import storage
from survlstm.tuning.storage import ProcessLock, mask_password, retry
from survlstm.utils.errors import ConfigError
from tests.tuning.bowl import tuned

pytestmark = pytest.mark.usefixtures("bare")


def refused(folder, *words, sentence):
    with pytest.raises(ConfigError, match=sentence) as error:
        tuned(folder, "trials=1", *words)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content", [b"no journal\n", b"no journal", b'{"a": 1}\n{"op_code":0}\n', b"\xff\x00\n\n", b"7\n"]
)
def test_a_file_that_is_no_journal_is_left_as_it_is(tmp_path, content):
    (tmp_path / "study.journal").write_bytes(content)
    refused(tmp_path, sentence=r"line 1 of .*study\.journal is not part of an Optuna journal")
    assert (tmp_path / "study.journal").read_bytes() == content


def test_a_journal_of_impossible_operations_is_refused(tmp_path):
    (tmp_path / "study.journal").write_text('{"op_code":77,"worker_id":"x","study_id":7}\n')
    refused(tmp_path, sentence=r"storage must be one that can be read and written; .*study\.journal can't be")


def test_a_sqlite_file_that_is_no_database(tmp_path):
    (tmp_path / "study.db").write_text("no database" * 100)
    refused(
        tmp_path, f"storage=sqlite:///{tmp_path}/study.db", sentence=r"study\.db can't be: file is not a database\."
    )


def test_a_sqlite_file_that_another_program_holds(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "SQLITE_SECONDS", 0.1)
    url = f"storage=sqlite:///{tmp_path}/study.db"
    tuned(tmp_path, "trials=1", url)
    other = sqlite3.connect(tmp_path / "study.db")
    other.execute("BEGIN EXCLUSIVE")
    try:
        refused(
            tmp_path, url, sentence=r"database is locked\. Another process holds it: wait for that process, or stop it"
        )
    finally:
        other.close()


ADDRESSES = [
    ("sqlite:////nowhere/at/all/study.db", r"unable to open database file"),
    ("nosql://user:secret@host/db", r"nosql://user:\*\*\*@host/db can't be: Can't load plugin"),
    ("mysql+pymysql://user:secret@127.0.0.1:1/db", r"user:\*\*\*@.* Install the driver of that database"),
    ("no url at all", r"no url at all can't be: Could not parse SQLAlchemy URL"),
]


@pytest.mark.parametrize(("url", "sentence"), ADDRESSES)
def test_an_address_that_leads_nowhere(tmp_path, url, sentence):
    refused(tmp_path, f"storage='{url}'", sentence=sentence)


def test_another_programs_study_of_that_name(tmp_path):
    url = f"sqlite:///{tmp_path}/study.db"
    theirs = optuna.create_study(storage=url, study_name="search")
    theirs.ask()
    theirs._storage._backend.engine.dispose()
    refused(tmp_path, f"storage={url}", "name=search", sentence=r"belongs to another program\. Set another name")


def test_a_torn_last_line_is_left_out_and_the_journal_stays_readable(tmp_path):
    tuned(tmp_path, "trials=2")
    whole = (tmp_path / "study.journal").read_bytes()
    (tmp_path / "study.journal").write_bytes(whole + b'{"op_code":8,"worker_id":"half of a li')
    assert len(tuned(tmp_path, "trials=3").asked) == 1
    assert (tmp_path / "study.journal").read_bytes().startswith(whole + b'{"op_code":')
    assert tuned(tmp_path, "trials=3").asked == []


@pytest.mark.parametrize(
    ("before", "after"), [(b"", b""), (b"a\n", b"a\n"), (b"a\nbc", b"a\n"), (b"a\n" + 9999 * b"x", b"a\n")]
)
def test_the_lock_mends_what_a_killed_holder_left(tmp_path, before, after):
    journal = tmp_path / "journal"
    journal.write_bytes(before)
    lock = ProcessLock(journal)
    lock.acquire()
    lock.release()
    assert journal.read_bytes() == after


def test_a_storage_that_comes_back_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "WAITS", (0.0, 0.0))
    answers = iter([OSError("away"), OSError("away"), None])

    def job():
        error = next(answers)
        if error is not None:
            raise error
        return "there"

    assert retry(job, url=None, folder=tmp_path) == "there"
    answers = iter([OSError("gone")] * 3)
    with pytest.raises(ConfigError, match=r"study\.journal can't be: gone\."):
        retry(job, url=None, folder=tmp_path)


def test_passwords_are_not_told():
    assert mask_password("postgresql://ann:secret@host/db") == "postgresql://ann:***@host/db"
    assert mask_password("sqlite:////tmp/a.db") == "sqlite:////tmp/a.db"
