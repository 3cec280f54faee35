"""Preparation of data from a source and an outcome, cached under a fingerprint of everything that shapes them."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int8

from survlstm.data.chosen_subjects import choose_subjects, open_cohort_file
from survlstm.data.code_groups import absent_group_warnings
from survlstm.data.cohort import Cohort, select_cohort
from survlstm.data.cohort_file import read_times_file
from survlstm.data.cohort_rules import (
    absent_code_warnings,
    first_visit_time,
    resolve_descendants,
    rule_exclusions,
    with_codes,
)
from survlstm.data.events import SourceData
from survlstm.data.landmark import landmark_targets
from survlstm.data.observed_visits import GroupedVisits, group_observed
from survlstm.data.outcomes.protocol import Labels, Outcome
from survlstm.data.preparation_settings import PreparationSettings
from survlstm.data.prepared_cache import fingerprint_of, load_entry, store_prepared
from survlstm.data.prepared_data import CohortFlow, PreparedData, count_rows
from survlstm.data.preprocessing_state import PreprocessingState
from survlstm.data.row_targets import row_targets
from survlstm.data.sources.protocol import Source, SourceWithContent
from survlstm.data.split import Split, split_subjects
from survlstm.data.targets import Targets, visit_targets
from survlstm.data.tensors import BuiltTensors, Tensors, build_tensors
from survlstm.data.values.warnings import value_warnings
from survlstm.utils.errors import CohortError, ConfigError
from survlstm.utils.files import file_lock

log = logging.getLogger(__name__)


def prepare(
    source: Source,
    outcome: Outcome,
    settings: PreparationSettings,
    *,
    described: dict[str, Any],
    cache: Path,
    preprocessing: PreprocessingState | None = None,
) -> PreparedData:
    """Load prepared data from the cache, or prepare them and store them there.

    The fingerprint covers ``described``, ``settings``, ``preprocessing``, the content of every input file and of the
    cohort's file, the code of the data stages and the versions of the libraries that they use. An entry is written
    under a temporary name and then renamed, so that two runs at the same time both find a complete entry.

    Args:
        source: Source of the records.
        outcome: Outcome to label the subjects with.
        settings: All other settings that shape the tensors.
        described: Settings of source and outcome as plain values, for the fingerprint.
        cache: Cache folder; it may be shared by runs.
        preprocessing: State of a trained model, to prepare another cohort in the same way; None fits one on the
            training subjects.

    Returns:
        The prepared data, the same whether loaded or computed.

    Raises:
        SourceError: If the export can't be read.
        CohortError: If no subject is eligible, or a split is empty (only without ``preprocessing``).
        OutcomeError: If the outcome can't be derived from the records.
        ConfigError: If the clock is not that of ``preprocessing``, or the cache can't be written.

    Example:
        >>> prepared = prepare(source, outcome, settings, described={}, cache=Path("cache"))
    """
    settings = _resolved(settings, source, preprocessing)
    file, times_files = settings.cohort.file, () if settings.days is None else settings.days.files
    named = [Path(path).expanduser() for path in (*(() if file is None else (file,)), *times_files)]
    shaped_by = {
        **described,
        **dataclasses.asdict(settings),
        # The content of the file counts, the folder that it is in does not.
        "cohort": dataclasses.asdict(settings.cohort) | {"file": [path.name for path in named[: file is not None]]},
        "fitted": None if preprocessing is None else preprocessing.as_plain(),
        # Records of a database server are in no file.
        "content": source.content() if isinstance(source, SourceWithContent) else None,
    }
    fingerprint = fingerprint_of([*source.files(), *named], shaped_by)
    entry = cache / "prepared" / fingerprint
    # Of runs that start together, the first prepares the data and the others wait for it.
    with file_lock(cache / "locks" / f"prepared-{fingerprint}"):
        kept = load_entry(entry, fingerprint)
        if kept is not None:
            log.info("Prepared data: taken from the cache (%s), same files, settings and code", entry)
            return kept
        prepared = prepare_uncached(source, outcome, settings, fingerprint, preprocessing=preprocessing)
        store_prepared(prepared, entry)
    log.info("Prepared data: computed and stored in the cache (%s)", entry)
    return prepared


def prepare_uncached(
    source: Source,
    outcome: Outcome,
    settings: PreparationSettings,
    fingerprint: str = "",
    *,
    preprocessing: PreprocessingState | None = None,
) -> PreparedData:
    """Run all stages from the source to the tensors, without the cache.

    The order of the stages keeps information about test subjects and about the future out of what is fitted: events,
    visits, cohort, split, labels, then vocabulary, feature scales and tensors.

    With ``preprocessing``, the records are those of a cohort to apply a trained model to. Vocabulary, feature scales
    and edges are those of ``preprocessing``, and a split may be empty. A synthetic outcome is drawn again, and what it
    fits (the intercept, ranks and scale of the risk), it then fits on all subjects.

    Args:
        source: Source of the records.
        outcome: Outcome to label the subjects with.
        settings: All other settings that shape the tensors.
        fingerprint: Stored in the result.
        preprocessing: State of a trained model; None fits one on the training subjects.

    Returns:
        Tensors, the fitted state (``preprocessing`` itself if it was given), and counts of what was left out.

    Raises:
        SourceError, CohortError, OutcomeError, ConfigError: As for ``prepare``.
    """
    _refuse_other_clock(settings, preprocessing)
    settings = _resolved(settings, source, preprocessing)
    file = open_cohort_file(settings.cohort, settings.landmark, on_days=settings.days is not None)
    days = settings.days
    times_files = () if days is None else [read_times_file(path, timezone=days.timezone) for path in days.files]
    reading = source.read()
    # Another cohort takes part as a whole, so that no split matters.
    assigned = _assigned_split(reading) if settings.split_by_dataset and preprocessing is None else None
    split_of_all = _split_of(reading, settings) if assigned is None else assigned
    chosen = choose_subjects(settings.cohort, file, reading.events.subjects.subject_id)
    grouped = group_observed(
        reading.events,
        outcome,
        settings,
        given_landmark=chosen.landmark,
        files=times_files,
        # Validation chooses the epoch, so that its records are part of the training.
        keeps_training=split_of_all != Split.TEST if preprocessing is None else None,
    )
    visits = grouped.visits
    log.info("Grouped %d entries into %d visits (%s)", len(visits.code), len(visits.visit_time), settings.grouping)
    # On the other clocks, visits are counted later and only up to the prediction time: a visit after it reveals that
    # the subject lived on.
    on_visits = settings.on_visits
    unassigned = () if assigned is None else (("not in the dataset's split", assigned < 0),)
    cohort = select_cohort(
        visits,
        outcome.follow_up(visits),
        min_visits=settings.min_visits if on_visits else 1,
        on_visits=on_visits,
        first=chosen.exclusions,
        last=(
            *(rule_exclusions(settings.cohort, visits, first_visit_time(visits)) if on_visits else ()),
            *unassigned,
        ),
    )
    names = cohort.visits.subjects.subject_id
    split = split_of_all[cohort.subject]
    if preprocessing is None:
        refuse_empty_split(split, settings)
    is_training = split == Split.TRAIN if preprocessing is None else np.ones(len(names), dtype=bool)
    labels = outcome.label(cohort.visits, is_training=is_training)
    targets = _targets(cohort, labels, split, grouped=grouped, settings=settings, preprocessing=preprocessing)
    if preprocessing is None:
        refuse_empty_split(split[targets.subject], settings)
    built = build_tensors(
        cohort.visits,
        targets,
        split,
        max_codes_per_visit=settings.max_codes_per_visit,
        min_frequency=settings.min_frequency,
        preprocessing=preprocessing,
        demographics=settings.demographics,
        landmark=grouped.landmark[cohort.subject],
        values=settings.values,
        code_groups=settings.code_groups,
    )
    fitted = built.preprocessing
    if preprocessing is None:
        fitted = dataclasses.replace(fitted, descendants=settings.cohort.descendants)
    flow = _flow(reading, grouped, cohort, targets=targets, labels=labels, built=built)
    undated = settings.demographics.undated_outcomes(cohort.visits.subjects.static)
    of_files = (warning for file in times_files for warning in file.warnings)
    cohort_warnings = (
        *chosen.warnings,
        *of_files,
        *absent_code_warnings(settings.cohort, visits),
        *absent_group_warnings(fitted.code_groups.groups, visits),
        *undated,
    )
    flow = dataclasses.replace(flow, warnings=flow.warnings + cohort_warnings)
    return PreparedData(built.tensors, fitted, flow, fingerprint)


def _resolved(
    settings: PreparationSettings, source: Source, preprocessing: PreprocessingState | None
) -> PreparationSettings:
    """Look up the codes of rules on descendants: in the source's hierarchy, or as a trained model knows them."""
    if preprocessing is None:
        return dataclasses.replace(settings, cohort=resolve_descendants(settings.cohort, source))
    return dataclasses.replace(settings, cohort=with_codes(settings.cohort, preprocessing.descendants))


def _split_of(reading: SourceData, settings: PreparationSettings) -> Int8[np.ndarray, " subject"]:
    return split_subjects(
        reading.events.subjects.subject_id,
        train=settings.train,
        val=settings.val,
        seed=settings.split_seed,
        fold=settings.fold,
    )


def _assigned_split(reading: SourceData) -> Int8[np.ndarray, " subject"]:
    if reading.split is None:
        raise CohortError(
            "split=dataset needs a dataset that assigns its subjects to splits, as a MEDS dataset does in "
            "metadata/subject_splits.parquet; this one assigns none. Set split=hash"
        )
    return reading.split


def _refuse_other_clock(settings: PreparationSettings, preprocessing: PreprocessingState | None) -> None:
    configured = "visit" if settings.on_visits else "landmark" if settings.days is None else "days"
    if preprocessing is not None and preprocessing.clock != configured:
        raise ConfigError(
            f"the clock must be that of the trained model, clock={preprocessing.clock}; found clock={configured}. "
            f"Set clock={preprocessing.clock}"
        )


def _targets(
    cohort: Cohort,
    labels: Labels,
    split: np.ndarray,
    *,
    grouped: GroupedVisits,
    settings: PreparationSettings,
    preprocessing: PreprocessingState | None,
) -> Targets:
    edge_days = None if preprocessing is None else preprocessing.edge_days
    if settings.days is not None:
        assert grouped.times is not None, "grouped on the days clock"
        return row_targets(
            cohort,
            labels,
            grouped.times,
            split,
            settings.days,
            rules=settings.cohort,
            min_visits=settings.min_visits,
            edge_days=edge_days,
        )
    if settings.landmark is None:
        return visit_targets(cohort.visits, labels)
    landmark = grouped.landmark[cohort.subject]
    return landmark_targets(
        cohort.visits,
        labels,
        landmark,
        split,
        settings.landmark,
        min_visits=settings.min_visits,
        edge_days=edge_days,
        last=rule_exclusions(settings.cohort, cohort.visits, landmark),
    )


def _flow(
    reading: SourceData,
    grouped: GroupedVisits,
    cohort: Cohort,
    *,
    targets: Targets,
    labels: Labels,
    built: BuiltTensors,
) -> CohortFlow:
    visits, used = grouped.visits, built.tensors
    # A visit is left out with its subject, or because it comes after the prediction time of a subject that takes part.
    visits_of_eligible = int(visits.visits_per_subject[cohort.subject[targets.subject]].sum())
    unseen = {
        "visit": "behind the last at-risk step",
        "landmark": "behind the landmark",
        "days": "behind the last prediction time",
    }[used.clock]
    return CohortFlow(
        tables=reading.tables,
        entries_read=len(reading.events),
        entries_left_out=grouped.entries_left_out
        | {
            "in visits left out": len(visits.code) + built.codes_added - len(used.code) - built.codes_left_out,
            "beyond max_codes_per_visit": built.codes_left_out,
        },
        entries_used=len(used.code),
        codes_unknown=built.codes_unknown,
        visits_made=len(visits.visit_time),
        visits_left_out={
            "of excluded subjects": len(visits.visit_time) - visits_of_eligible,
            unseen: visits_of_eligible - len(used.visit_time),
        },
        visits_used=len(used.visit_time),
        subjects_read=len(reading.events.subjects),
        subjects_excluded=cohort.exclusions + targets.exclusions,
        subjects_used=len(used.subject_id),
        # The C-index of the oracle refers to steps of the visit clock.
        outcome_facts={
            name: fact for name, fact in labels.facts.items() if used.clock == "visit" or name != "oracle_c_td"
        },
        warnings=(
            *reading.warnings,
            *labels.warnings,
            *(() if targets.rows is None else targets.rows.warnings),
            *_clock_warnings(used, labels),
            *built.warnings,
            *value_warnings(built.values),
        ),
        entries_added=built.codes_added,
        fused_added=int(used.fused_codes.sum()),
        values=built.values,
        prediction_times=None if targets.rows is None else count_rows(targets.rows),
        outcome_codes=labels.codes,
    )


def _clock_warnings(used: Tensors, labels: Labels) -> tuple[str, ...]:
    """Return a warning if a control outcome, with the same hazard at every visit, is used on a clock of days."""
    hazard = labels.oracle_hazard
    if used.clock == "visit" or hazard is None or np.ptp(hazard) > 0:
        return ()
    return (
        "a control outcome must have the same hazard for every subject; this one has the same hazard at every visit, "
        "so in days it happens sooner to subjects with frequent visits, and the history shows how frequent they are. "
        "Set clock=visit for a control",
    )


def refuse_empty_split(split: np.ndarray, settings: PreparationSettings) -> None:
    """Raise an error if a split has no subject.

    Args:
        split: ``Split`` of each subject that takes part.
        settings: Shares, folds and landmark, for the advice in the message.

    Raises:
        CohortError: If train, val or test is empty; the message suggests shares.
    """
    sizes = {part.name.lower(): int((split == part).sum()) for part in Split}
    empty = [name for name, size in sizes.items() if size == 0]
    if empty:
        now = settings.clock_override
        landmark = f", another {'landmark' if settings.days is None else 'prediction time'} (now {now})" if now else ""
        another = f"{_larger(empty[0], settings)} or set another split.seed"
        if settings.split_by_dataset:
            another = "or set split=hash"
        raise CohortError(
            f"each of train, val and test needs a subject; found {sizes}. Use a larger cohort{landmark}, {another}"
        )


def _larger(part: str, settings: PreparationSettings) -> str:
    """Write overrides that give one split more subjects; the three shares still add up to 1."""
    if part == "test" and settings.fold is not None:
        return f"lower split.folds (now {settings.fold.folds})"
    shares = {"train": settings.train, "val": settings.val, "test": 1 - settings.train - settings.val}
    donor = max((name for name in shares if name != part), key=shares.__getitem__)
    moved = min(0.1, shares[donor] / 2)
    raised, lowered = (f"split.{name}={shares[name] + more:.3g}" for name, more in ((part, moved), (donor, -moved)))
    return f"set {raised} {lowered}"
