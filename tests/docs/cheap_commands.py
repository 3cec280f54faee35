"""Make the commands of a page cheap enough to run: small cohorts, small models and few epochs."""

import re

from tests.docs.shell import fill_in

# Commands that no test of this folder runs, by their beginning, with the reason; the rest of their line is run.
NOT_RUN = {
    r"bash scripts/bootstrap": "it installs packages from a registry; scripts/check begins with it",
    r"bash scripts/check": "it runs all tests, these too",
    r"bash scripts/docs": "tests/docs/test_site.py builds the site",
    r"\.venv/bin/pytest": "it runs all tests, these too",
    r"source \.venv/bin/activate": "the tests have an environment",
    r"pre-commit install": "it changes the repository's hooks",
    r"python3 -m venv /opt": "it writes outside of the test's folder",
    r"PIP_CONSTRAINT=\S+ \S+ -m pip install": "it installs packages from a registry",
    r"survlstm train -m hydra/launcher=slurm": "it needs Slurm",
    r"survlstm train data=omop": "it needs OMOP records; tests/data/sources/test_omop_places.py trains on them",
    r"survlstm predict bundle=BUNDLE \"data\.path=postgresql": "it needs a database server",
    r"survlstm predict bundle=BUNDLE data\.path=eunomia": "it needs OMOP records",
    r"python scripts/table_to_meds\.py support2": "its table is in a package that the tests do not have",
    r"python scripts/published(_pbc2)?\.py": "it trains on every fold; tests/examples/test_tables.py runs it",
    r"survlstm predict .*as_of=times\.csv": "it needs a days model; tests/examples/test_predict_at_times.py runs it",
    r"survlstm train logger=mlflow logger\.store=http": "it needs a tracking server",
}
# Pages that another test runs from top to bottom.
ELSEWHERE = {
    "docs/python.md": "tests/api/conftest.py executes its Python",
    "docs/walk_through.md": "tests/examples/test_walk_through.py runs its commands",
}
# Pages whose Python is executed after their commands.
PYTHON = ("README.md", "docs/own_classes.md")
# What is written in a page, and what is run instead.
CHEAPER = (
    (r"(\.venv|/opt/survlstm)/bin/survlstm", "survlstm"),
    # 60 simulated patients instead of a thousand; as a real export, DIR.
    (r"data=cohort_\w+", "data=tiny"),
    (r"patients=1000", "patients=40"),
    (r"model=lstm_(medium|large)", "model=lstm_small"),
    (r"trainer=a40", "trainer=smoke"),
    (r"trainer=ddp", "trainer=ddp trainer.epochs=1 trainer.device=cpu"),
    # A landmark leaves too few events of 60 patients.
    (r"^(?!.*data\.path)(.*clock=landmark)", r"\1 data.simulated.patients=400"),
    (r"data\.path=DIR(?=.*clock=landmark)", "data.path=LARGE_DIR"),
    # One of 400 patients dies within five years of that day; the outcome drawn by a formula has events enough.
    (r"outcome=death(?=.*clock\.day)", "outcome=synthetic"),
    # Few of 400 patients have diabetes, and few who are left by the rules of a cohort die.
    (r"\[SNOMED/44054006\]\}", "[SNOMED/15777000]}"),
    (r"outcome=death(?=.*(?:cohort\.|first_code))", "outcome=synthetic"),
    # Fewer jobs of a sweep.
    (r"dropout=0\.1,0\.3,0\.5", "dropout=0.1,0.3"),
    (r"weight_decay=1e-5,1e-4,1e-3", "weight_decay=1e-5,1e-4"),
    (r"seed=0,1,2", "seed=0"),
    (r"fold=0,1,2,3,4", "fold=0,1"),
    (r"hidden_dim=16,32,64", "hidden_dim=16,32"),
    # The run to resume is finished here.
    (r"\bresume=RUN", "resume=RUN trainer.epochs=4"),
    # A free port, where a page would take the default one.
    (r"torchrun", "torchrun --standalone"),
    (r"serve bundle=BUNDLE(?!\.)", "serve bundle=BUNDLE port=$PORT"),
    (r"port=8000", "port=$PORT"),
    (r"localhost:8000", "localhost:$PORT"),
    (r"""'base=\["data=tiny"\]'""", """'base=["data=tiny","trainer=smoke","evaluation.baselines=[]"]'"""),
    # RUN, DIR and ID stand for different runs, folders and subjects each time.
    (r"compare RUN RUN RUN", "compare RUN OTHER_RUN THIRD_RUN"),
    (r"data\.path=NEW", "data.path=DIR"),
    (r"output=DIR", "output=OUTPUT_FOLDER"),
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
        line = re.sub(rf"{command}[^&|;#\n]*", ": ", line)
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
