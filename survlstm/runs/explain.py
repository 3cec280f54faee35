"""Explain a finished run: which codes move its predicted hazard, as tables, figures and a page."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from survlstm.config.schema.commands import ExplainConfig
from survlstm.config.schema.outcome import SyntheticOutcomeConfig
from survlstm.config.schema.run import RunConfig
from survlstm.data.factory import build_batches
from survlstm.data.preprocessing_state import PreprocessingState
from survlstm.data.split import Split
from survlstm.data.tensors import Tensors
from survlstm.explanation.effects import METHODS, compute_effects
from survlstm.explanation.findings import ExplanationResults, ExplanationSettings, evaluate_planted_codes
from survlstm.explanation.gradients import refuse_missing_captum
from survlstm.explanation.page import write_pages
from survlstm.explanation.ranking import rank_codes
from survlstm.explanation.risk_over_time import explain_risk_over_time
from survlstm.explanation.sanity_checks import check_randomization
from survlstm.explanation.tables import write_tables
from survlstm.explanation.text import headline, summary_lines, warnings
from survlstm.report.formatting import format_number
from survlstm.report.task import outcome_banner
from survlstm.runs.finished import open_run
from survlstm.utils.errors import CohortError, ConfigError
from survlstm.utils.write_access import try_writing

log = logging.getLogger(__name__)

# Number of codes in the log.
TOLD = 10


def explain(config: ExplainConfig) -> ExplanationResults:
    """Explain a run's best model on subjects of one split and write the results; see docs/explanation.md.

    Args:
        config: The config of ``survlstm explain``.

    Returns:
        What was written: the effects, the rankings of the codes, the sanity checks and the settings.

    Raises:
        ConfigError: If the folder is not that of a run, the extra ``explain`` is missing, the output can't be written,
            or the subject is not in the split.
        CheckpointError: If the run's best checkpoint is missing or damaged.
        CohortError: If the split has no subject, or the run's own data can't be restored.
    """
    refuse_missing_captum()
    run = open_run(Path(config.run).expanduser().resolve(), allow=config.allow)
    folder = _folder(run.folder, config.output)
    log.info("Run: %s (epoch %d)", run.folder, run.best["epoch"])
    prepared = run.own_data(config.cache_dir)
    tensors, split = prepared.tensors, Split[config.split.upper()]
    batches = build_batches(run.config, tensors, split)
    subjects = _drawn(batches.members, config)
    chosen = None if config.subject is None else _subject(tensors, batches.members, str(config.subject), config.split)
    model = run.model()
    # Without gradients of the weights the backward pass takes half of the time.
    model.requires_grad_(False)
    log.info("Explaining %d of %d subjects of the %s split", len(subjects), len(batches.members), config.split)
    steps = config.integration_steps
    effects = compute_effects(model, batches, subjects, integration_steps=steps, progress_label="Explaining")
    rankings = rank_codes(effects, resamples=config.resamples, top=config.top, seed=config.seed)
    sanity = check_randomization(
        model, batches, effects, integration_steps=steps, shuffles=config.shuffles, seed=config.seed
    )
    subject = int(subjects[effects.log_odds.argmax()]) if chosen is None else chosen
    described = run.descriptions(config.cache_dir)
    which = "Some codes" if described.texts else "Codes"
    notes = (f"{which} stand without descriptions: {described.missing}.",) if described.missing else ()
    entries = prepared.vocabulary.entries
    planted = _planted_codes(run.config, run.preprocessing)
    found = ExplanationResults(
        about=ExplanationSettings(
            run=run.folder.name,
            split=config.split,
            members=len(batches.members),
            subjects=len(subjects),
            clock=tensors.clock,
            integration_steps=steps,
            resamples=config.resamples,
            top=config.top,
            seed=config.seed,
            banner=outcome_banner(run.config.outcome),
        ),
        effects=effects,
        rankings=rankings,
        sanity=sanity,
        names=tuple(entries[code] for code in effects.code),
        described=described.texts,
        planted_codes=planted,
        planted=evaluate_planted_codes(planted, entries, effects, rankings),
        over_time=explain_risk_over_time(model, batches, subject, integration_steps=steps),
        subject_id=str(tensors.subject_id[subject]),
        notes=notes,
    )
    _tell(found)
    subject_choice = "of the highest predicted risk among those explained" if chosen is None else "that was asked for"
    report = run.folder / "report.html" if config.output is None else None
    _write(folder, found, entries, report=report, subject_choice=subject_choice)
    return found


def _drawn(members: Int64[np.ndarray, " member"], config: ExplainConfig) -> Int64[np.ndarray, " subject"]:
    """Return the subjects to explain: all, or a random sample of the largest allowed number."""
    if not len(members):
        raise CohortError(f"the {config.split} split must hold a subject; found none. Choose another split")
    if len(members) <= config.subjects_at_most:
        return members
    return np.sort(np.random.default_rng(config.seed).choice(members, config.subjects_at_most, replace=False))


def _subject(tensors: Tensors, members: Int64[np.ndarray, " member"], asked: str, split: str) -> int:
    names = [str(name) for name in tensors.subject_id[members]]
    if asked in names:
        return int(members[names.index(asked)])
    elsewhere = [Split(tensors.split[place]).name.lower() for place in np.flatnonzero(tensors.subject_id == asked)]
    where = f"an id of the {elsewhere[0]} split: set split={elsewhere[0]}" if elsewhere else "an id of no split"
    raise ConfigError(
        f"subject must be the id of one of the {len(names)} subjects of the {split} split; found {where}. Leave it out "
        "for the subject of the highest risk; the run's predictions.parquet holds the ids of the test split"
    )


def _planted_codes(config: RunConfig, preprocessing: PreprocessingState) -> tuple[str, ...]:
    """Return the codes from which the outcome was drawn: planted codes, or the fused codes of planted values."""
    if not isinstance(config.outcome, SyntheticOutcomeConfig):
        return ()
    measures = () if preprocessing.values is None else preprocessing.values.measures
    fused = [code for each in measures if each.code in config.outcome.planted_values for code in each.bin_codes]
    return (*config.outcome.planted_codes, *fused)


def _tell(found: ExplanationResults) -> None:
    """Log the most important codes and all sentences."""
    log.info("\nMean effect on the log-odds of the event (%s, %s), foremost codes:", *METHODS)
    for place in found.order()[: min(TOLD, found.about.top)]:
        effects = [format_number(found.rankings[method].effect[place]) for method in METHODS]
        mark = "planted " if found.names[place] in found.planted_codes else ""
        log.info("%9s %9s  %s%s", *effects, mark, found.label(found.names[place]))
    banner = (found.about.banner,) if found.about.banner else ()
    log.info("\n%s", "\n".join((*banner, headline(found), *summary_lines(found))))
    for method in METHODS:
        log.info("%s", found.sanity.sentence(method))
    for said in warnings(found):
        log.warning("%s", said)


def _folder(run: Path, output: str | None) -> Path:
    folder = run / "explanation" if output is None else Path(output).expanduser()
    try:
        try_writing(folder)
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    except OSError as error:
        raise ConfigError(
            f"output must be a folder that can be written; found {folder}: {error}. Set output=DIR"
        ) from error


def _write(
    folder: Path, found: ExplanationResults, entries: tuple[str, ...], *, report: Path | None, subject_choice: str
) -> None:
    try:
        write_tables(folder, found, entries)
        is_filled = write_pages(folder, found, entries, report=report, subject_choice=subject_choice)
    except OSError as error:
        raise ConfigError(
            f"the explanation must be written to {folder}; the system says: {error}. Free space, or set output=DIR"
        ) from error
    if report is not None and not is_filled:
        log.info("%s has no place for it: an older survlstm wrote it, or the run was not evaluated", report)
    log.info("Explanation: %s%s", folder / "explanation.html", ", and in the run's report" if is_filled else "")
