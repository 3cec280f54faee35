"""Every block of README.md and the pages, without running it: commands compose, Python compiles, files parse.

``test_commands.py`` runs the commands; a test of each page of Python runs that.
"""

import ast
import json
import re
import sys

import pytest
import yaml

from survlstm.cli.summarize import make_parser
from survlstm.cli.usage import COMMANDS
from survlstm.config import class_loader
from survlstm.config.compose import check_overrides
from survlstm.config.overrides import normalise_arguments, read_flags
from survlstm.config.schema.run import RunConfig
from survlstm.sweeps.sweep_overrides import read_sweep_words
from survlstm.utils.errors import SurvlstmError
from tests.docs.cheap_commands import ELSEWHERE, NOT_RUN, PYTHON, cheap, outputs
from tests.docs.code_blocks import LANGUAGES, ROOT, blocks, inline_commands, pages, read_blocks
from tests.docs.shell import fill_in, lines, simple_commands, survlstm_words

# Tools that a block may call beside survlstm, Python and the scripts of this repository.
SHELL = frozenset({"[", "curl", "done", "eval", "export", "grep", "kill", "pre-commit", "sleep", "source", "trap"})
# Programs that an environment has, wherever it is, and what they are called with.
INSTALLED = ("python3 -m venv", "/opt/survlstm/bin/python -m pip", ".venv/bin/pytest")
# Stands for any command in running text.
ANY_COMMAND = "COMMAND"


@pytest.fixture(autouse=True)
def imports():
    """Forget the folders of config files that a command has added, and the user's modules imported from them."""
    path, folders = list(sys.path), list(class_loader._config_folders)
    yield
    sys.path[:], class_loader._config_folders[:] = path, folders
    for module in (ROOT / "examples" / "own_classes").glob("*.py"):
        sys.modules.pop(module.stem, None)


@pytest.fixture(scope="module")
def found_sound() -> set[tuple[str, ...]]:
    """Commands that a test has composed: the pages repeat many."""
    return set()


@pytest.fixture
def complaint(survlstm, named_folders, monkeypatch, capsys, found_sound):
    """Compose and validate the config of a command, and return what is wrong with it; empty if nothing is."""

    def check(words: list[str]) -> str:
        if tuple(words) in found_sound:
            return ""
        if not (wrong := complaint_of(words)):
            found_sound.add(tuple(words))
        return wrong

    def complaint_of(words: list[str]) -> str:
        monkeypatch.chdir(named_folders)
        command, *arguments = map(fill_in, words)
        if command == "summarize":
            # Its folder would have to hold finished runs.
            return "" if make_parser().parse_args(arguments).sweep.is_dir() else "found no folder"
        if command == "train" and (jobs := words_of_sweep(arguments)):
            return complaint_of_sweep(jobs)
        shows = [] if command == "runs" or "--help" in arguments else ["--cfg", "job"]
        code = survlstm(command, *arguments, *shows)
        shown = capsys.readouterr()
        if code or shown.err:
            return shown.err + shown.out or f"exit code {code}"
        return "a required value is missing" if "???" in shown.out else ""

    return check


def words_of_sweep(arguments: list[str]) -> list[str]:
    """The words of a sweep as they are recorded in its folder or typed; empty if they train one model."""
    words, _ = read_sweep_words(normalise_arguments(arguments))
    return words if read_flags(words).multirun else []


def complaint_of_sweep(words: list[str]) -> str:
    """Hydra does not show the config of a sweep, so that its jobs are validated as the command does it."""
    try:
        jobs = check_overrides("train", normalise_arguments(words), RunConfig)
    except SurvlstmError as error:
        return str(error)
    return "" if len(jobs) > 1 else "a sweep of one job"


def test_every_block_names_a_language():
    wrong = [f"{block}: {block.language or 'no language'}" for block in blocks() if block.language not in LANGUAGES]
    assert wrong == [], f"write one of {', '.join(LANGUAGES)} behind the fence"


def test_a_block_is_read_with_its_place_and_its_language():
    text = "a\n```bash\nls\n```\n- b\n  ```yaml title=x\n  c: 1\n    d\n  ```\n```\ne\n```\n"
    found = [(block.line, block.language, block.text) for block in read_blocks(text, "page.md")]
    assert found == [(3, "bash", "ls\n"), (7, "yaml", "c: 1\n  d\n"), (11, "", "e\n")]
    with pytest.raises(AssertionError, match=r"page\.md:1: the block has no end"):
        list(read_blocks("```bash\nls\n", "page.md"))


def test_a_line_is_split_into_its_commands():
    (block,) = read_blocks(
        "```bash\nA=1 ls 'a b' > c && x \\\n  d=[e] # f\npython - <<'P'\nls && x\nP\n```\n", "page.md"
    )
    first, second = lines(block)
    assert first.place == "page.md:2"
    assert simple_commands(first.text) == [["ls", "a b"], ["x", "d=[e]"]]
    assert (second.place, simple_commands(second.text)) == ("page.md:4", [["python", "-"]])
    assert survlstm_words(["torchrun", "--nproc-per-node=2", "-m", "survlstm", "train", "a=1"]) == ["train", "a=1"]
    assert survlstm_words(["python", "scripts/train.py", "a=1"]) == ["train", "a=1"]
    assert survlstm_words(["python", "other.py"]) is None


def test_every_command_of_the_blocks_composes(complaint):
    commands = [
        (line, words)
        for block in blocks("bash")
        for line in lines(block)
        for words in map(survlstm_words, simple_commands(line.text))
        if words
    ]
    wrong = [f"{line.place}: {found}" for line, words in commands if (found := complaint(words))]
    assert wrong == []
    assert {words[0] for _, words in commands} >= set(COMMANDS) - {"summarize"}


def test_every_command_in_running_text_composes(complaint):
    wrong = []
    for command in inline_commands():
        words = command.text.replace(ANY_COMMAND, "train").split(" # ")[0]
        for each in map(survlstm_words, simple_commands(words)):
            # A command that is named, as in `survlstm predict` or `survlstm runs --sort`, is no line to type.
            is_name = each[-1] == each[0] or each[-1].startswith("-")
            if found := complaint([each[0], "--help"] if is_name else each):
                wrong.append(f"{command}: {command.text}: {found}")
    assert wrong == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "trainer.batch_sise=3"], "the nearest valid key is trainer.batch_size"),
        (["train", "-m", "optimizer.lr=0.1,text"], "optimizer.lr"),
        (["train", "model=lstm_tiny"], "lstm_tiny"),
        (["evaluate"], "a required value is missing"),
        (["predict", "bundle=BUNDLE", "data.path=NOWHERE"], "NOWHERE"),
        (["runs", "--sort", "test.no_metric"], "test.no_metric"),
        (["summarize", "NOWHERE"], "found no folder"),
    ],
)
def test_a_command_that_has_become_wrong_is_found(complaint, words, said):
    assert said in complaint(words)


def test_other_commands_are_known_tools_or_scripts_of_the_repository():
    others = [
        (line.place, command)
        for block in blocks("bash")
        for line in lines(block)
        for command in simple_commands(line.text)
        if survlstm_words(command) is None
    ]
    for place, command in others:
        name = command[1] if command[0] in {"bash", "python"} else command[0]
        is_script = name.startswith("scripts/") and (ROOT / name).is_file()
        is_known = name == "-" or command[0] in SHELL or " ".join(command).startswith(INSTALLED)
        assert is_script or is_known, f"{place}: {' '.join(command)} is not known"


def test_scripts_that_the_pages_name_exist():
    for page in pages():
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
            for script in re.findall(r"\bscripts/[\w./]*\w", line):
                assert (ROOT / script).exists(), f"{page.name}:{number} names {script}, which does not exist"


def test_python_blocks_compile_and_import_only_what_exists():
    for block in blocks("python"):
        tree = ast.parse(block.text, str(block))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("survlstm"):
                names: dict[str, object] = {}
                exec(compile(ast.Module([node], []), str(block), "exec"), names)


def test_yaml_and_json_blocks_parse():
    for block in blocks("yaml"):
        assert isinstance(yaml.safe_load(block.text), dict | list), block
    for block in blocks("json"):
        json.loads(block.text)


def test_output_that_follows_a_command_is_what_it_prints(survlstm, capsys):
    found = [part for block in blocks("text") for part in block.text.split("$ survlstm ")[1:]]
    assert found
    for part in found:
        command, *expected = part.splitlines()
        assert survlstm(*command.split()) != 0
        assert capsys.readouterr().err.splitlines() == expected, command


@pytest.mark.parametrize(
    ("written", "run"),
    [
        ("bash scripts/bootstrap dev && ls", ": && ls"),
        ("survlstm train -m hydra/launcher=slurm seed=1,2  # all", ": # all"),
        ("survlstm export run=RUN output=BUNDLE", "survlstm export run=RUN output=BUNDLE"),
        ("survlstm explain run=RUN subjects_at_most=9", "survlstm explain run=RUN subjects_at_most=9"),
        ("survlstm tune tune=lstm", "survlstm tune trials=2 tune=lstm"),
        ("survlstm train sweep.resume=SWEEP", "survlstm train sweep.resume=SWEEP"),
        ("survlstm evaluate run=RUN data=cohort_1000", "survlstm evaluate run=RUN data=tiny"),
        (
            "survlstm train data=cohort_1000 data.path=/large evaluation.landmarks.visits=[]",
            "survlstm train trainer=smoke 'evaluation.baselines=[record_length]' evaluation.resamples=100 "
            "data=tiny data.path=DIR evaluation.landmarks.visits=[]",
        ),
    ],
)
def test_a_command_is_made_cheap_and_nothing_else(written, run):
    assert cheap(written) == run


def test_what_a_command_writes_is_read_from_it():
    assert outputs("survlstm train output_dir=a && survlstm export run=a output=b.zip") == ["a", "b.zip"]


def test_every_page_with_python_is_executed_by_a_test():
    assert {block.page for block in blocks("python")} <= {*ELSEWHERE, *PYTHON}


def test_the_tables_of_what_is_not_run_name_what_is_there():
    commands = "".join(block.text for block in blocks("bash"))
    assert all(re.search(command, commands) for command in NOT_RUN)
    assert ELSEWHERE.keys() <= {block.page for block in blocks()}
