"""The dispatcher: what it imports, what it prints and with which code it exits."""

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from survlstm.cli import main as dispatcher
from survlstm.cli.usage import COMMANDS, USAGE
from survlstm.utils.errors import ConfigError

# Packages that take from a twentieth of a second to seconds to import.
HEAVY = ("torch", "pandas", "numpy", "scipy", "pyarrow", "matplotlib", "hydra", "omegaconf", "pydantic", "yaml", "tqdm")
IMPORTED = """
import sys
try:
    exec(sys.argv[1])
finally:
    print(*sorted(sys.modules), sep=" ", file=sys.stderr)
"""


def imported_by(statement):
    """The modules in ``sys.modules`` after a statement that may end the process."""
    done = subprocess.run([sys.executable, "-c", IMPORTED, statement], capture_output=True, text=True, check=False)
    return set(done.stderr.splitlines()[-1].split())


def run_main(*arguments):
    return f"from survlstm.cli.main import main; main({list(arguments)})"


@pytest.mark.parametrize(
    "statement",
    [
        "import survlstm",
        run_main(),
        run_main("--help"),
        run_main("-h"),
        run_main("--version"),
        run_main("trian"),
        "import os; os.environ['COMP_LINE'] = 'survlstm tr'; " + run_main("-sc", "query=bash"),
    ],
    ids=["import", "nothing", "--help", "-h", "--version", "unknown command", "completion of a command"],
)
def test_what_needs_no_config_imports_no_heavy_package(statement):
    modules = imported_by(statement)
    assert "survlstm.utils.version" in modules
    assert modules.isdisjoint(HEAVY)
    assert not any(name.startswith("survlstm.config") for name in modules)


def test_a_wrong_override_is_found_without_torch_and_pandas():
    commands = ["train", "evaluate", "compare", "rerun", "export", "predict", "explain", "serve", "simulate"]
    statements = ["from survlstm.cli.main import main"]
    for command in commands:
        words = [command, *(["RUN"] if command == "rerun" else []), "no_such_key=1"]
        statements += ["try:", f"    main({words})", "except SystemExit as ended:", "    assert ended.code == 2"]
    modules = imported_by("\n".join(statements))
    assert {f"survlstm.cli.{command}" for command in commands} <= modules
    assert modules.isdisjoint({"torch", "pandas"})


def test_every_command_is_a_module_and_in_the_usage():
    folder = Path(dispatcher.__file__).parent
    others = {
        "__init__",
        "main",
        "usage",
        "completion",
        "hydra_command",
        "command_help",
        "config_keys",
        "flags",
        "help",
    }
    others |= {"nearest_command", "suggestions", "completed_folders"}
    assert {path.stem for path in folder.glob("*.py")} == {*COMMANDS, *others}
    for command in COMMANDS:
        assert f"\nsurvlstm {command} " in USAGE
        assert callable(import_module(f"survlstm.cli.{command}").run)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_shows_the_usage(survlstm, capsys, arguments):
    assert survlstm(*arguments) == 0
    assert capsys.readouterr().out == USAGE


def test_the_usage_fits_a_terminal():
    assert max(map(len, USAGE.splitlines())) <= 80


@pytest.mark.parametrize("arguments", [[], *([command] for command in COMMANDS), ["train", "seed=1"], ["plot", "x"]])
def test_version(survlstm, capsys, arguments):
    assert survlstm(*arguments, "--version") == 0
    assert re.fullmatch(r"survlstm \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_an_error_is_one_line_unless_its_traceback_is_requested(survlstm, capsys):
    assert survlstm("train", "trainer.batch_sise=3") == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert re.fullmatch(r"ConfigError: trainer\.batch_sise is not a known key.*\n", shown.err)
    with pytest.raises(ConfigError, match="not a known key"):
        survlstm("train", "trainer.batch_sise=3", "verbose=true")


@pytest.mark.parametrize(
    ("command", "hint"), [("train", " If the run had started, resume it with survlstm train resume=RUN"), ("runs", "")]
)
def test_an_interrupted_command_exits_as_in_a_shell(survlstm, capsys, monkeypatch, command, hint):
    def interrupted(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"survlstm.cli.{command}.run", interrupted)
    assert survlstm(command) == 130
    assert capsys.readouterr().err == f"Interrupted.{hint}\n"


def test_python_m_survlstm_is_the_command():
    def output(*words):
        return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True).stdout

    assert output("-m", "survlstm", "--help") == USAGE
