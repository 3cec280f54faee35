"""Source and outcome → prepared data, made once and kept by a fingerprint of all that shapes it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import shutil
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from survlstm.data.aside import written_aside
from survlstm.data.cohort import Exclusion, select_cohort
from survlstm.data.events import Events, Reading, TableCount
from survlstm.data.outcomes.labels import Outcome
from survlstm.data.split import Split, split_subjects
from survlstm.data.tensors import Tensors, build_tensors
from survlstm.data.visits import group_visits, groupable, take_events
from survlstm.data.vocabulary import Vocabulary
from survlstm.errors import CohortError, ConfigError

log = logging.getLogger(__name__)


@runtime_checkable
class Source(Protocol):
    """A swap point: where the records come from."""

    def files(self) -> list[Path]:
        """Every file that ``read`` opens."""

    def read(self) -> Reading:
        """The events, with every row accounted for."""


@dataclass(frozen=True)
class Settings:
    """What shapes the tensors beside the source and the outcome."""

    grouping: str
    window_hours: float
    min_visits: int
    max_codes_per_visit: int | None
    train: float
    val: float
    split_seed: int
    min_frequency: int


@dataclass(frozen=True)
class Flow:
    """Where rows, visits and subjects went on the way: shown in the log, kept in metrics.json.

    What was read or made is what is left out, by reason, and what the tensors hold.
    """

    tables: tuple[TableCount, ...]
    entries_read: int
    entries_left_out: dict[str, int]
    entries_used: int
    visits_made: int
    visits_left_out: dict[str, int]
    visits_used: int
    subjects_read: int
    subjects_excluded: tuple[Exclusion, ...]
    subjects_used: int
    outcome_facts: dict[str, float]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Prepared:
    """What training starts from."""

    tensors: Tensors
    vocabulary: Vocabulary
    flow: Flow
    fingerprint: str


def prepare(
    source: Source, outcome: Outcome, settings: Settings, *, described: dict[str, Any], cache: Path
) -> Prepared:
    """Prepared data from the cache, or made anew and kept there.

    ``described`` are the settings of source and outcome as plain values. The fingerprint covers them, ``settings``, the
    content of every input file and the code of the data stages. An entry is written aside and renamed, so that two runs
    at once both end with a whole one.
    """
    fingerprint = _fingerprint(source.files(), {**described, **dataclasses.asdict(settings)})
    entry = cache / "prepared" / fingerprint
    kept = _load(entry, fingerprint)
    if kept is not None:
        log.info("Prepared data: taken from the cache (%s), same files, settings and code", entry)
        return kept
    prepared = make(source, outcome, settings, fingerprint)
    _keep(prepared, entry)
    log.info("Prepared data: made anew and kept (%s)", entry)
    return prepared


def make(source: Source, outcome: Outcome, settings: Settings, fingerprint: str = "") -> Prepared:
    """The stages in their leak-proof order: events → visits → cohort → outcome → split → vocabulary → tensors."""
    reading = source.read()
    events = groupable(reading.events, grouping=settings.grouping)
    without_encounter = len(reading.events) - len(events)
    events, ended = _cut_at_end(events, outcome)
    visits, repeated = group_visits(events, grouping=settings.grouping, window_hours=settings.window_hours)
    log.info("Grouped %d entries into %d visits (%s)", len(visits.code), len(visits.visit_time), settings.grouping)
    cohort = select_cohort(visits, outcome.follow_up(visits), min_visits=settings.min_visits)
    split = split_subjects(
        cohort.visits.subjects.subject_id, train=settings.train, val=settings.val, seed=settings.split_seed
    )
    _refuse_empty_split(split)
    labels = outcome.label(cohort.visits, is_training=split == Split.TRAIN)
    built = build_tensors(
        cohort.visits,
        labels,
        split,
        max_codes_per_visit=settings.max_codes_per_visit,
        min_frequency=settings.min_frequency,
    )
    visits_of_eligible = int(visits.visits_per_subject[cohort.subject].sum())
    used = built.tensors
    flow = Flow(
        tables=reading.tables,
        entries_read=len(reading.events),
        entries_left_out={
            "no encounter": without_encounter,
            "dated behind the end of follow-up (event or death)": ended,
            "same visit, time, code and value as another row": repeated,
            "in visits left out": len(visits.code) - len(used.code) - built.codes_left_out,
            "beyond max_codes_per_visit": built.codes_left_out,
        },
        entries_used=len(used.code),
        visits_made=len(visits.visit_time),
        visits_left_out={
            "of excluded subjects": len(visits.visit_time) - visits_of_eligible,
            "behind the last at-risk step": visits_of_eligible - len(used.visit_time),
        },
        visits_used=len(used.visit_time),
        subjects_read=len(reading.events.subjects),
        subjects_excluded=cohort.exclusions,
        subjects_used=len(used.step),
        outcome_facts=labels.facts,
        warnings=reading.warnings + labels.warnings,
    )
    return Prepared(built.tensors, built.vocabulary, flow, fingerprint)


def _cut_at_end(events: Events, outcome: Outcome) -> tuple[Events, int]:
    end = outcome.inputs_end(events)
    # A comparison with NaT is false: the living have no end.
    late = events.time >= end[events.subject]
    return take_events(events, ~late), int(late.sum())


def _refuse_empty_split(split: np.ndarray) -> None:
    sizes = {part.name.lower(): int((split == part).sum()) for part in Split}
    empty = [name for name, size in sizes.items() if size == 0]
    if empty:
        raise CohortError(
            f"each of train, val and test needs a subject; found {sizes}. Use a larger cohort, "
            f"raise split.{empty[0]} or set another split.seed"
        )


def _fingerprint(files: Iterable[Path], settings: dict[str, Any]) -> str:
    package = Path(__file__).parents[1]
    code = sorted([*(package / "data").rglob("*.py"), package / "survival" / "concordance.py"])
    libraries = {name: version(name) for name in ("numpy", "pyarrow", "scipy")}
    digest = hashlib.sha256(json.dumps([settings, libraries], sort_keys=True, default=str).encode())
    for file in [*files, *code]:
        with file.open("rb") as stream:
            digest.update(f"\0{file.name}\0".encode() + hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:24]


def _keep(prepared: Prepared, entry: Path) -> None:
    about = {"vocabulary": prepared.vocabulary.entries, "flow": dataclasses.asdict(prepared.flow)}
    if entry.exists() and _load(entry, prepared.fingerprint) is None:
        shutil.rmtree(entry, ignore_errors=True)
    try:
        with written_aside(entry) as aside:
            aside.mkdir()
            np.savez(aside / "tensors.npz", **dataclasses.asdict(prepared.tensors))
            (aside / "about.json").write_text(json.dumps(about), encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"prepared data must be kept in {entry.parent}; the system says: {error}. Free space there or set cache_dir"
        ) from error


def _load(entry: Path, fingerprint: str) -> Prepared | None:
    try:
        with (entry / "tensors.npz").open("rb") as stream, np.load(stream) as arrays:
            tensors = Tensors(**{field.name: arrays[field.name] for field in dataclasses.fields(Tensors)})
        about = json.loads((entry / "about.json").read_text(encoding="utf-8"))
        flow = about["flow"]
        flow["tables"] = tuple(TableCount(**table) for table in flow["tables"])
        flow["subjects_excluded"] = tuple(Exclusion(*rule) for rule in flow["subjects_excluded"])
        flow["warnings"] = tuple(flow["warnings"])
        return Prepared(tensors, Vocabulary(tuple(about["vocabulary"])), Flow(**flow), fingerprint)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, EOFError) as error:
        log.warning("Prepared data in %s can't be read (%s); made anew", entry, error)
        return None
