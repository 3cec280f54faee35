"""What a message says of content: its kind, and nothing of it."""

import json

import pytest

from survlstm.runs.manifest import record_ending
from survlstm.utils.content import (
    describe_error,
    is_words,
    kind_of_content,
    kinds_of_content,
    list_known_names,
    traceback_without_message,
)
from survlstm.utils.errors import Interrupted, SourceError

UUID = "0f8fad5b-d9cb-469f-a165-70867728950e"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", "an empty cell"),
        ("  ", "an empty cell"),
        ("1985-12-17", "a date"),
        ("2019-03-31T22:00:00Z", "a time"),
        ("2019-03-31 22:00", "a time"),
        ("3/2/2001", "a date in another form"),
        ("17.12.1985", "a date in another form"),
        ("2001/12/31 10:00", "a date in another form"),
        ("-1.5e3", "a number"),
        ("1,5", "a number"),
        (UUID, "a UUID"),
        ("999-59-3229", "11 characters of text"),
        ("Müller", "6 characters of text"),
        ("x" * 1234, "1,234 characters of text"),
    ],
)
def test_the_kind_of_a_text(text, kind):
    assert kind_of_content(text) == kind
    assert is_words(text) == kind.endswith("of text")


def test_kinds_are_counted():
    texts = ["Anna", "Bert", "1985-12-17", UUID, "", "3", "Carl", "4"]
    assert kinds_of_content(texts) == "3 texts, 2 numbers, 1 date, 1 UUID, 1 empty cell"


def test_only_known_names_are_shown():
    assert list_known_names(["START", "CODE"], ["CODE", "START"]) == "START, CODE"
    assert list_known_names(["START", "Anna", "CODE", "5"], ["CODE", "START"]) == (
        "START, CODE and 2 names not shown here (1 text, 1 number)"
    )
    assert list_known_names(["Anna"], ["CODE"]) == "1 name not shown here (1 text)"
    assert list_known_names([], ["CODE"]) == "nothing"


def raised(error):
    try:
        raise error
    except BaseException as caught:
        return caught


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (SourceError("it is empty."), "SourceError: it is empty."),
        (OSError(28, "No space left on device"), "OSError: [Errno 28] No space left on device"),
        (RuntimeError("CUDA error"), "RuntimeError: CUDA error"),
        (KeyError("secret"), "KeyError in unknown code"),
        (ValueError("invalid literal: 'secret'"), "ValueError in unknown code"),
    ],
)
def test_the_words_of_an_error_that_may_quote_data_are_not_kept(error, sentence):
    assert describe_error(raised(error)) == sentence
    assert "secret" not in traceback_without_message(raised(error))


def test_a_manifest_says_where_an_unexpected_error_came_from(tmp_path):
    class Text(str):
        def strip(self, *_):
            raise KeyError("secret")

    # Through a line of the package.
    with pytest.raises(KeyError, match="secret"), record_ending(tmp_path):
        kind_of_content(Text())
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["sentence"].startswith("KeyError in survlstm/utils/content.py:")
    assert "secret" not in json.dumps(manifest)
    with pytest.raises(Interrupted), record_ending(tmp_path):
        raise Interrupted("stopped by signal 15", signal_number=15)
    assert json.loads((tmp_path / "manifest.json").read_text())["sentence"] == "Interrupted: stopped by signal 15"
