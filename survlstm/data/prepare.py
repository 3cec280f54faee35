"""Preparation of data from a source and an outcome, cached under a fingerprint of everything that shapes them."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from survlstm.data.cohort import Cohort, select_cohort
from survlstm.data.death_codes import is_death_code
from survlstm.data.demographics import DemographicSettings
from survlstm.data.events import Events, SourceData
from survlstm.data.known_times import known_times
from survlstm.data.landmark import LandmarkSettings, landmark_targets, landmark_time
from survlstm.data.outcomes.protocol import Labels, Outcome
from survlstm.data.prepared_cache import fingerprint_of, load_entry, store_prepared
from survlstm.data.prepared_data import CohortFlow, PreparedData
from survlstm.data.preprocessing_state import PreprocessingState
from survlstm.data.sources.protocol import Source, SourceWithContent
from survlstm.data.split import Fold, Split, split_subjects
from survlstm.data.targets import Targets, visit_targets
from survlstm.data.tensors import BuiltTensors, Tensors, build_tensors
from survlstm.data.visits import Visits, group_visits, groupable_events, take_events
from survlstm.utils.errors import CohortError, ConfigError
from survlstm.utils.files import file_lock

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreparationSettings:
    """Settings that shape the tensors, apart from those of the source and the outcome.

    Attributes:
        grouping: How entries form visits, see ``group_visits``.
        window_hours: Longest visit in hours, see ``group_visits``.
        min_visits: Fewest visits of an eligible subject: observed ones on the visit clock, those on or before the
            landmark on the landmark clock.
        max_codes_per_visit: Number of codes of a visit to keep; None keeps all.
        train: Share of training subjects.
        val: Share of validation subjects.
        split_seed: Seed of the split.
        fold: Fold of a cross-validation; None for one split.
        min_frequency: Fewest entries of a code in the vocabulary.
        landmark: Position of the landmark and its intervals; None on the visit clock.
        demographics: Kinds of static codes, and which of them are inputs.
    """

    grouping: str
    window_hours: float
    min_visits: int
    max_codes_per_visit: int | None
    train: float
    val: float
    split_seed: int
    fold: Fold | None
    min_frequency: int
    landmark: LandmarkSettings | None
    demographics: DemographicSettings


class GroupedVisits(NamedTuple):
    """Visits of the observed entries.

    Attributes:
        visits: Visits of all subjects of the source.
        landmark: ``datetime64[s]`` [subject], the landmark; NaT on the visit clock and for subjects without one.
        entries_left_out: Number of entries that belong to no visit, by reason.
    """

    visits: Visits
    landmark: np.ndarray
    entries_left_out: dict[str, int]


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

    The fingerprint covers ``described``, ``settings``, ``preprocessing``, the content of every input file, the code of
    the data stages and the versions of the libraries that they use. An entry is written under a temporary name and then
    renamed, so that two runs at the same time both find a complete entry.

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
    shaped_by = {
        **described,
        **dataclasses.asdict(settings),
        "fitted": None if preprocessing is None else preprocessing.as_plain(),
        # Records of a database server are in no file.
        "content": source.content() if isinstance(source, SourceWithContent) else None,
    }
    fingerprint = fingerprint_of(source.files(), shaped_by)
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
    reading = source.read()
    grouped = group_observed(reading.events, outcome, settings)
    visits = grouped.visits
    log.info("Grouped %d entries into %d visits (%s)", len(visits.code), len(visits.visit_time), settings.grouping)
    # On the landmark clock, visits are counted later and only up to the landmark: a visit after it reveals that the
    # subject lived on.
    min_visits = settings.min_visits if settings.landmark is None else 1
    cohort = select_cohort(grouped.visits, outcome.follow_up(grouped.visits), min_visits=min_visits)
    names = cohort.visits.subjects.subject_id
    split = split_subjects(names, train=settings.train, val=settings.val, seed=settings.split_seed, fold=settings.fold)
    if preprocessing is None:
        refuse_empty_split(split, settings)
    is_training = split == Split.TRAIN if preprocessing is None else np.ones(len(names), dtype=bool)
    labels = outcome.label(cohort.visits, is_training=is_training)
    targets = _targets(cohort, labels, split, landmark=grouped.landmark, settings=settings, preprocessing=preprocessing)
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
    )
    flow = _flow(reading, grouped, cohort, targets=targets, labels=labels, built=built)
    return PreparedData(built.tensors, built.preprocessing, flow, fingerprint)


def _refuse_other_clock(settings: PreparationSettings, preprocessing: PreprocessingState | None) -> None:
    if preprocessing is not None and (preprocessing.intervals is None) != (settings.landmark is None):
        trained, configured = ("visit", "landmark") if preprocessing.intervals is None else ("landmark", "visit")
        raise ConfigError(
            f"the clock must be that of the trained model, clock={trained}; found clock={configured}. "
            f"Set clock={trained}"
        )


def group_observed(events: Events, outcome: Outcome, settings: PreparationSettings) -> GroupedVisits:
    """Leave out what was known at or after the outcome or the death, and group the rest into visits.

    Codes that are entered only because a patient has died are left out too. On the landmark clock no visit spans the
    landmark of its subject. See ``docs/conventions.md``, section "Inputs".

    Args:
        events: All events of the source.
        outcome: Outcome that decides which entries are observed.
        settings: Grouping, window and landmark.

    Returns:
        Visits of all subjects, the landmark of each, and the number of entries left out for each reason.

    Raises:
        SourceError: If ``settings.window_hours`` is too long, see ``group_visits``.
    """
    groupable = groupable_events(events, grouping=settings.grouping)
    times = known_times(groupable)
    of_death = is_death_code(groupable.codes)[groupable.code]
    is_observed = outcome.observed(groupable, times)
    is_kept = is_observed & ~of_death
    kept, known_by = take_events(groupable, is_kept), times.latest[is_kept]
    visits, repeated = group_visits(
        kept, grouping=settings.grouping, window_hours=settings.window_hours, known_by=known_by
    )
    landmark = np.full(len(events.subjects), np.datetime64("NaT"), dtype="datetime64[s]")
    if settings.landmark is not None:
        # The landmark is the time of a visit or counted from one, so visits are formed once to find it and once more,
        # split at it.
        landmark = landmark_time(visits, settings.landmark)
        visits, repeated = group_visits(
            kept,
            grouping=settings.grouping,
            window_hours=settings.window_hours,
            split_at=landmark,
            known_by=known_by,
        )
    left_out = {
        "no encounter": len(events) - len(groupable),
        "code that only a death brings": int(of_death.sum()),
        "known at or after the event, or after the death": int((~is_observed & ~of_death).sum()),
        "same visit, time, code and value as another row": repeated,
    }
    return GroupedVisits(visits, landmark, left_out)


def _targets(
    cohort: Cohort,
    labels: Labels,
    split: np.ndarray,
    *,
    landmark: np.ndarray,
    settings: PreparationSettings,
    preprocessing: PreprocessingState | None,
) -> Targets:
    if settings.landmark is None:
        return visit_targets(cohort.visits, labels)
    return landmark_targets(
        cohort.visits,
        labels,
        landmark[cohort.subject],
        split,
        settings.landmark,
        min_visits=settings.min_visits,
        edge_days=None if preprocessing is None else preprocessing.edge_days,
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
    unseen = "behind the last at-risk step" if used.clock == "visit" else "behind the landmark"
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
        subjects_used=len(used.step),
        # The C-index of the oracle refers to steps of the visit clock.
        outcome_facts={
            name: fact for name, fact in labels.facts.items() if used.clock == "visit" or name != "oracle_c_td"
        },
        warnings=reading.warnings + labels.warnings + _clock_warnings(used, labels) + built.warnings,
        entries_added=built.codes_added,
    )


def _clock_warnings(used: Tensors, labels: Labels) -> tuple[str, ...]:
    """Return a warning if a control outcome, with the same hazard at every visit, is used on the landmark clock."""
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
        landmark = "" if settings.landmark is None else f", another landmark (now {settings.landmark.as_override})"
        raise CohortError(
            f"each of train, val and test needs a subject; found {sizes}. Use a larger cohort{landmark}, "
            f"{_larger(empty[0], settings)} or set another split.seed"
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
