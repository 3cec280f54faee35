"""Export the model of a finished run as a bundle."""

from __future__ import annotations

import datetime
import logging
import re
from pathlib import Path
from typing import Any, Literal

import torch

from survlstm.config.schema.commands import ExportConfig
from survlstm.config.schema.run import RunConfig
from survlstm.config.schema.training import NoLoggerConfig
from survlstm.inference.bundle.bundle import Bundle, BundleInfo, content_error, write_bundle
from survlstm.inference.bundle.card import STEPS, describe_outcome, describe_times, write_card
from survlstm.inference.bundle.reference_case import cohort_summary, make_reference
from survlstm.inference.bundle.reported_metrics import ReportedMetrics, validate_reported
from survlstm.report.task import outcome_banner
from survlstm.runs.finished import FinishedRun, open_run
from survlstm.training.seeding import seed_everything
from survlstm.utils.data_location import place_name
from survlstm.utils.errors import BundleError
from survlstm.utils.shell import format_command
from survlstm.utils.stored_files import read_json
from survlstm.utils.time_rules import parse_times
from survlstm.utils.version import __version__
from survlstm.utils.write_access import try_writing

log = logging.getLogger(__name__)

# Figures of groups of subjects. Figures of single subjects are not exported.
FIGURES = ("groups_*.png", "calibration_*.png", "c_td.png", "loss.png")


def export(config: ExportConfig) -> None:
    """Write the bundle of ``config.run`` to ``config.output``; it holds no record, id or prediction of a subject.

    Args:
        config: The config of ``survlstm export``.

    Raises:
        BundleError: If the output exists or can't be written, or the run has no evaluation.
        CohortError: If the run's own data can't be restored.
        ConfigError, CheckpointError: If the run can't be read.
    """
    run = open_run(Path(config.run).expanduser().resolve(), allow=config.allow)
    output = Path(config.output).expanduser()
    if output.exists():
        raise BundleError(f"output must be new; {output} is there already. Remove it, or name another output")
    try:
        try_writing(output.absolute().parent)
    except OSError as error:
        raise BundleError(
            f"a bundle must be written to {output}; the system says: {error}. Name another output"
        ) from error
    metrics = _metrics(run.folder)
    seed_everything(run.config.seed, deterministic=run.config.trainer.deterministic)
    log.info("Run: %s (epoch %d)", run.folder, run.best["epoch"])
    prepared = run.own_data(config.cache_dir)
    descriptions = run.descriptions(config.cache_dir).texts
    model = run.model()
    reference = make_reference(model, run.config, prepared)
    cohort = cohort_summary(prepared, descriptions, form=run.config.data.values, times=describe_times(run.config))
    about = _about(run, model, prepared.tensors.clock, descriptions)
    public = _without_places(run.config)
    figures = {file.name: file.read_bytes() for kind in FIGURES for file in sorted(run.folder.glob(f"figures/{kind}"))}
    card = write_card(
        about,
        public,
        reference=reference,
        cohort=cohort,
        metrics=metrics,
        figures=sorted(figures),
        has_onnx=config.format == "onnx",
    )
    bundle = Bundle(about, public, run.preprocessing, model, reference, descriptions, cohort, metrics, card)
    write_bundle(bundle, output, figures=figures, extras=_extras(run, config.format, model))
    log.info(
        "Bundle: %s\n%s\nVocabulary: %d codes, %d with a description; %d that fewer than ten training subjects have",
        output,
        about.outcome,
        len(run.preprocessing.vocabulary),
        len(set(descriptions) & set(run.preprocessing.vocabulary.entries)),
        cohort["codes_of_fewer_than_ten_training_subjects"],
    )
    if outcome_banner(run.config.outcome):
        log.warning("%s", outcome_banner(run.config.outcome))


def _about(
    run: FinishedRun, model: torch.nn.Module, clock: Literal["visit", "landmark", "days"], descriptions: dict[str, str]
) -> BundleInfo:
    return BundleInfo(
        name=_name(run.folder),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        survlstm=__version__,
        torch=torch.__version__,
        run=run.folder.name,
        epoch=run.best["epoch"],
        fingerprint=run.best["about"]["data_fingerprint"],
        clock=clock,
        unit="visits" if clock == "visit" else "days",
        outcome=describe_outcome(run.config.outcome, descriptions),
        steps=STEPS[clock],
        parameters=sum(weight.numel() for weight in model.parameters()),
    )


def _name(folder: Path) -> str:
    """Return the run's folder name with its date; other parent folders are not exported."""
    day = folder.parent.name
    return f"{day} {folder.name}" if re.fullmatch(r"\d{4}-\d{2}-\d{2}", day) else folder.name


def _metrics(folder: Path) -> dict[str, Any]:
    """Return metrics.json without values of single subjects."""
    try:
        metrics = read_json(folder / "metrics.json")
        judged = {key: value for key, value in metrics["test"].items() if key != "curves"}
        return validate_reported(
            ReportedMetrics, {"test": judged, "diagnostics": metrics["diagnostics"], "training": metrics["training"]}
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(
            f"a bundle must say how good its model is; {folder} holds no summary of its test subjects "
            f"({content_error(error)}). Let the run end: "
            f"{format_command('train', f'resume={folder}')}"
        ) from error


def _without_places(config: RunConfig) -> RunConfig:
    """Return the config without folders and addresses of the machine that trained the model."""
    path = config.data.path
    data = config.data.model_copy(update={"path": None if path is None else place_name(path)})
    file = config.cohort.file
    cohort = config.cohort.model_copy(update={"file": None if file is None else Path(file).name})
    clock, evaluation = config.clock, config.evaluation
    if clock.kind == "days":
        clock = clock.model_copy(update={"times": [_without_folder(text) for text in clock.times]})
    evaluation = evaluation.model_copy(update={"times": [_without_folder(text) for text in evaluation.times]})
    parts = {"data": data, "cohort": cohort, "clock": clock, "evaluation": evaluation}
    pretrain = None if config.pretrain is None else Path(config.pretrain).name
    here = {"cache_dir": "cache", "output_dir": "outputs", "resume": None, "pretrain": pretrain}
    return config.model_copy(update={**parts, "logger": NoLoggerConfig(_target_=None), **here})


def _without_folder(times: str) -> str:
    """Return a rule of prediction times with the name of a file in place of its path."""
    return Path(times).name if parse_times(times).kind == "file" else times


def _extras(run: FinishedRun, asked: str, model: torch.nn.Module) -> dict[str, bytes]:
    if asked == "native":
        return {}
    from survlstm.inference.bundle.onnx_export import export_onnx

    sizes = run.preprocessing.sizes
    return export_onnx(
        model,
        visit_features=len(run.config.model.visit_features) + sizes.added_columns,
        prediction_features=sizes.prediction_features,
    )
