"""What the help of each command says beside its keys: usage, examples and the schema of its config."""

from __future__ import annotations

from typing import NamedTuple


class CommandHelp(NamedTuple):
    """The help of a command whose config is composed.

    Attributes:
        usage: The words after the name of the command.
        schema: The module and the class of the config's schema.
        examples: Two command lines, without ``survlstm`` and the name of the command. RUN, BUNDLE and other words in
            capitals stand for the user's own folders.
        arguments: Words that are neither keys nor flags of every command, with their explanations.
    """

    usage: str
    schema: str
    examples: tuple[str, str]
    arguments: tuple[tuple[str, str], ...] = ()


COMMANDS_SCHEMA = "survlstm.config.schema.commands"

HELP = {
    "train": CommandHelp(
        "[key=value ...]",
        "survlstm.config.schema.run:RunConfig",
        ("data=cohort_1000 outcome=random trainer.epochs=50", "-m model.dropout=0.1,0.3 optimizer.lr=0.001,0.0003"),
        (
            ("-m", "Run a sweep: one run per combination of key=a,b,c."),
            ("sweep.resume=SWEEP", "Run the missing jobs of a sweep."),
        ),
    ),
    "evaluate": CommandHelp(
        "run=RUN [key=value ...]",
        f"{COMMANDS_SCHEMA}:EvaluateConfig",
        ("run=RUN split=val", "run=RUN data=synthea data.path=EXPORT"),
    ),
    "compare": CommandHelp(
        "RUN RUN ... [key=value ...]",
        f"{COMMANDS_SCHEMA}:CompareConfig",
        ("RUN RUN", "RUN RUN RUN output=comparison evaluation.resamples=2000"),
        (("RUN RUN ...", "The folders of the runs, at least two."),),
    ),
    "tune": CommandHelp(
        "[key=value ...]",
        "survlstm.tuning.config:TuneConfig",
        ("tune=lstm trials=100", 'trials=20 \'base=["data=cohort_1000","trainer.epochs=50"]\''),
    ),
    "rerun": CommandHelp(
        "RUN [key=value ...]",
        f"{COMMANDS_SCHEMA}:RerunConfig",
        ("RUN", "RUN output_dir=repeated"),
        (("RUN", "The folder of the run; every other setting is the run's own."),),
    ),
    "export": CommandHelp(
        "run=RUN output=BUNDLE [key=value ...]",
        f"{COMMANDS_SCHEMA}:ExportConfig",
        ("run=RUN output=model_bundle", "run=RUN output=model_bundle.zip format=onnx"),
    ),
    "predict": CommandHelp(
        "bundle=BUNDLE data.path=EXPORT [key=value ...]",
        f"{COMMANDS_SCHEMA}:PredictConfig",
        ("bundle=BUNDLE data.path=EXPORT output=predictions.csv", "bundle=BUNDLE data.path=EXPORT as_of=2020-12-31"),
    ),
    "plot": CommandHelp(
        "survival bundle=BUNDLE data.path=EXPORT [key=value ...]",
        f"{COMMANDS_SCHEMA}:PlotConfig",
        (
            "survival bundle=BUNDLE data.path=EXPORT",
            "survival bundle=BUNDLE data.path=EXPORT 'subjects=[ID,ID]'",
        ),
        (("survival", "The plot: survival curves of subjects and of groups."),),
    ),
    "explain": CommandHelp(
        "run=RUN [key=value ...]",
        f"{COMMANDS_SCHEMA}:ExplainConfig",
        ("run=RUN", "run=RUN split=val top=50 output=explanation"),
    ),
    "serve": CommandHelp(
        "bundle=BUNDLE [key=value ...]",
        f"{COMMANDS_SCHEMA}:ServeConfig",
        ("bundle=BUNDLE", "bundle=BUNDLE port=8080 names=[predictions.example.org]"),
    ),
    "simulate": CommandHelp(
        "output=DIR [key=value ...]",
        f"{COMMANDS_SCHEMA}:SimulateConfig",
        ("output=cohort patients=1000", "output=cohort patients=200 history_years=null seed=1"),
    ),
    "convert": CommandHelp(
        "output=DATASET [key=value ...]",
        f"{COMMANDS_SCHEMA}:ConvertConfig",
        ("data=synthea data.path=EXPORT output=DATASET", "data=cohort_106 output=DATASET subjects_at_once=500"),
    ),
}
# Config groups that are no section of a schema.
GROUPS = {
    "experiment": "A named recipe: choices and values of several groups.",
    "tune": "The search space.",
    "hydra/launcher": "How the jobs of a sweep are started.",
}
FLAGS = (
    ("-h, --help", "Show this help."),
    ("--version", "Show the version of survlstm."),
    ("--cfg job", "Show the composed config and do nothing else."),
    ("--config-dir DIR", "Search DIR for further config groups, too."),
)
