"""The help of every command: its keys with values and explanations, two examples, 80 columns."""

import re
import shlex
import subprocess
import sys

import pytest

from survlstm.cli.command_help import HELP
from survlstm.cli.config_keys import format_value, load_schema
from survlstm.cli.usage import COMMANDS, SUMMARIES
from survlstm.config.compose import compose_unresolved
from survlstm.config.explanations import read_explanations, section_schemas
from survlstm.config.overrides import read_flags
from survlstm.utils.nested import flatten

OWN = "# @package _global_\ndefaults: [override /data: tiny]\n"


def shown_by(survlstm, capsys, *words):
    assert survlstm(*words) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    return shown.out


def all_schemas(schema):
    """The schema and those of its sections, with any choice of groups."""
    yield schema
    for key in schema.model_fields:
        for section in section_schemas(schema, key):
            yield from all_schemas(section)


@pytest.mark.parametrize("command", sorted(HELP))
def test_every_key_is_explained_in_its_schema(command):
    for schema in all_schemas(load_schema(HELP[command].schema)):
        keys = {field.alias or name for name, field in schema.model_fields.items()}
        missing = keys - read_explanations(schema).keys()
        assert not missing, f"{schema.__name__} needs a line of Attributes for {missing}"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_a_summary_and_two_examples_in_80_columns(survlstm, capsys, command):
    lines = shown_by(survlstm, capsys, command, "-h").splitlines()
    assert f"survlstm {command}: {SUMMARIES[command]}" in lines
    assert [line for line in lines if len(line) > 80] == []
    start = lines.index("Examples:") + 1
    examples = lines[start : lines.index("", start)]
    assert len(examples) == 2
    assert all(example.startswith(f"  survlstm {command} ") for example in examples)


@pytest.mark.parametrize("command", sorted(HELP))
def test_help_shows_every_key_with_its_value_and_explanation(survlstm, capsys, command):
    in_one_line = " ".join(shown_by(survlstm, capsys, command, "--help").split())
    schema = load_schema(HELP[command].schema)
    composition = compose_unresolved(command, [])
    for key, value in flatten(composition.values).items():
        if not key.startswith("space.") and not key.endswith("_target_"):
            assert f" {key} (required) " in in_one_line or f" {key}={format_value(value)} " in in_one_line, key
    for key, text in read_explanations(schema).items():
        assert f" {key}" in in_one_line
        assert text in in_one_line or key in composition.values


@pytest.mark.parametrize("command", sorted(HELP))
def test_examples_compose(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for example in HELP[command].examples:
        words = shlex.split(example)
        names = [word for word in read_flags(words).overrides if "=" not in word]
        assert set(names) <= {"RUN", "survival"}
        composed = compose_unresolved(command, [word for word in words if word not in names])
        assert "???" not in flatten(composed.values).values()


def test_help_of_train_shows_groups_with_their_choices_and_the_users_own(survlstm, capsys, tmp_path):
    for group in ("experiment", "recipe"):
        (tmp_path / "own" / group).mkdir(parents=True)
        (tmp_path / "own" / group / "mine.yaml").write_text(OWN)
    shown = shown_by(survlstm, capsys, "train", "--help", "--config-dir", "own", "model=lstm_large")
    in_one_line = " ".join(shown.split())
    assert "clock=visit How time is divided into steps. One of days, landmark, visit." in in_one_line
    assert (
        "experiment=null A named recipe: choices and values of several groups. One of guide_1000, guide_106, mine"
        in (in_one_line)
    )
    assert "hydra/launcher=basic How the jobs of a sweep are started. One of slurm, two_at_once." in in_one_line
    assert "+recipe=null One of mine." in in_one_line
    assert "model=lstm_large " in in_one_line
    assert "model.hidden_dim=512 " in in_one_line


def test_help_explains_the_choice_that_is_made(survlstm, capsys):
    shown = " ".join(shown_by(survlstm, capsys, "train", "clock=landmark", "scheduler=cosine", "--help").split())
    assert "clock.horizon_days=1825 The end of the last interval, in days after the landmark." in shown
    assert "scheduler.T_max=<trainer.epochs> The epochs until the lowest learning rate." in shown
    assert "A name in angle brackets stands for the value of that key." in shown


@pytest.mark.parametrize(
    "words",
    [
        ["train", "-m", "seed=1,2"],
        ["train", "sweep.resume=SWEEP"],
        ["train", "resume=RUN"],
        ["compare", "RUN", "RUN"],
        ["plot", "survival"],
    ],
)
def test_help_goes_with_the_other_words_of_a_command(survlstm, capsys, words):
    assert "Examples:" in shown_by(survlstm, capsys, *words, "--help")


def test_help_of_a_wrong_override_names_the_key(survlstm, capsys):
    assert survlstm("train", "trainer.epoch=3", "--help") == 2
    assert "the nearest valid key is trainer.epochs" in capsys.readouterr().err


def test_help_needs_neither_torch_nor_pandas():
    statement = "\n".join(
        [
            "import sys",
            "from survlstm.cli.main import main",
            *(f"main(['{command}', '--help'])" for command in COMMANDS),
            "print(*sorted({'torch', 'pandas', 'optuna'} & set(sys.modules)), file=sys.stderr)",
        ]
    )
    done = subprocess.run([sys.executable, "-c", statement], capture_output=True, text=True, check=True)
    assert done.stderr == "\n"
    assert re.findall(r"^survlstm (\w+): ", done.stdout, re.MULTILINE) == list(COMMANDS)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        ([1, "a", None], "[1, a, null]"),
        ({"low": 0.1, "log": False}, "{low: 0.1, log: false}"),
        ("${seed}", "<seed>"),
        ("outputs/tune/${name}", "outputs/tune/<name>"),
        ("${oc.env:NAME}", "$NAME"),
        ("${oc.env:NAME,'~/.cache'}", "$NAME or ~/.cache"),
        ("${oc.env:NAME,${seed}}", "$NAME or <seed>"),
        ("outputs/${now:%Y-%m-%d}/${now:%H-%M-%S-%f}", "outputs/DATE/TIME"),
        ("${own:1}", "<own 1>"),
    ],
)
def test_a_value_is_shown_readably(value, text):
    assert format_value(value) == text
