"""An unknown first word: the nearest command is named, and all commands are listed."""

import pytest

from survlstm.cli.nearest_command import ALIASES, describe_unknown_command
from survlstm.cli.usage import COMMANDS

ALL = f". The commands are {', '.join(COMMANDS)}"


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("trian", "'trian' is not a command; the nearest is train"),
        ("Train", "'Train' is not a command; the nearest is train"),
        ("simulat", "'simulat' is not a command; the nearest is simulate"),
        ("run", "'run' is not a command; the nearest is runs"),
        ("resume", "'resume' is not a command; write survlstm train resume=RUN"),
        ("summarise", "'summarise' is not a command; write survlstm summarize SWEEP"),
        ("LS", "'LS' is not a command; write survlstm runs"),
        ("frobnicate", "'frobnicate' is not a command"),
        ("--frobnicate", "'--frobnicate' is not a command"),
        ("data=tiny", "a command must come first, as in survlstm train data=VALUE; found data="),
    ],
)
def test_the_nearest_command_is_named(survlstm, capsys, word, sentence):
    assert survlstm(word, "seed=1") == 2
    assert capsys.readouterr().err == f"ConfigError: {sentence}{ALL}\n"


def test_an_id_is_not_repeated():
    assert "4711" not in describe_unknown_command("subjects=[4711]")


def test_an_alias_is_no_command_and_stands_for_one():
    assert not ALIASES.keys() & set(COMMANDS)
    for meant in ALIASES.values():
        assert meant.split()[0] in {*COMMANDS, "--help", "--version"}
