"""Make the commands of a page cheap enough to run: small cohorts, small models and few epochs."""

import re

from tests.docs.shell import fill_in

# Commands that no test of this folder runs, with the reason; the rest of their line is run.
NOT_RUN = {
    "bash scripts/bootstrap": "it installs packages from a registry; scripts/check begins with it",
    "bash scripts/check": "it runs all tests, these too",
}
# Pages that another test runs from top to bottom.
ELSEWHERE = {
    "docs/python.md": "tests/api/conftest.py executes its Python",
    "docs/walk_through.md": "tests/examples/test_walk_through.py runs its commands",
}
# What is written in a page, and what is run instead.
CHEAPER = (
    (r"\.venv/bin/survlstm", "survlstm"),
    # 60 simulated patients instead of a thousand; as a real export, DIR.
    (r"data=cohort_\w+", "data=tiny"),
    (r"patients=1000", "patients=40"),
    (r"model=lstm_(medium|large)", "model=lstm_small"),
    (r"trainer=a40", "trainer=smoke"),
    (r"trainer=ddp", "trainer=ddp trainer.epochs=1 trainer.device=cpu"),
    # A landmark leaves too few events of 60 patients.
    (r"clock=landmark", "clock=landmark data.simulated.patients=400"),
    # The run to resume is finished here.
    (r"\bresume=RUN", "resume=RUN trainer.epochs=4"),
    # A free port, where a page would take the default one.
    (r"torchrun", "torchrun --standalone"),
    (r"serve bundle=BUNDLE", "serve bundle=BUNDLE port=$PORT"),
    (r"localhost:8000", "localhost:$PORT"),
    (r"""'base=\["data=tiny"\]'""", """'base=["data=tiny","trainer=smoke","evaluation.baselines=[]"]'"""),
    # RUN, DIR and ID stand for different runs, folders and subjects each time.
    (r"compare RUN RUN RUN", "compare RUN OTHER_RUN THIRD_RUN"),
    (r"output=DIR", "output=NEW"),
    (r"\[ID,ID\]", "[FIRST_ID,SECOND_ID]"),
    # Exit with an error if the server answers with one.
    (r"curl -s ", "curl -sf "),
)
# What is added to a command that does not say otherwise, by the words that say so.
ADDED = {
    "train": {
        r"\bdata=": "data=tiny",
        r"\btrainer=": "trainer=smoke",
        r"evaluation\.baselines=": "'evaluation.baselines=[record_length]'",
        r"evaluation\.resamples=": "evaluation.resamples=100",
        r"evaluation\.landmarks": "'evaluation.landmarks.visits=[2]' 'evaluation.landmarks.horizons=[5]'",
    },
    "explain": {r"subjects_at_most=": "subjects_at_most=5 resamples=100 shuffles=1"},
    "tune": {r"\btrials=": "trials=2"},
}
# These continue with the settings of the run or sweep that they name.
RESUMED = re.compile(r"\b(sweep\.)?resume=")
COMMAND = re.compile(r"\bsurvlstm (\w+)")


def cheap(line: str) -> str:
    """Return what is run for a line of a page."""
    for command in NOT_RUN:
        line = line.replace(command, ":")
    line = fill_in(line)
    for written, run in CHEAPER:
        line = re.sub(written, run, line)
    return line if RESUMED.search(line) else COMMAND.sub(lambda found: _with_added(found, line), line)


def _with_added(found: re.Match[str], line: str) -> str:
    added = ADDED.get(found[1], {})
    return " ".join([found[0], *(words for said, words in added.items() if not re.search(said, line))])


def outputs(line: str) -> list[str]:
    """The files and folders that a line says it writes."""
    return re.findall(r"\boutput(?:_dir)?=(\w[\w.]*)", line)
