"""Run ``survlstm plot survival``: draw survival curves of subjects and of risk groups, as figures and on a page."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from survlstm.config.instantiate import instantiate
from survlstm.config.schema.commands import PlotConfig
from survlstm.config.schema.data import SourceConfig
from survlstm.config.schema.section import SwapPoint
from survlstm.data.sources.csv_table import read_csv_table
from survlstm.data.sources.synthea import SyntheaSource
from survlstm.data.sources.synthea_format import PATIENT_FIELDS, PATIENTS
from survlstm.inference.dates import RecordEndDays
from survlstm.inference.model_spread import SAMPLE, ExtremeSubjects, RiskSpread, subject_curve
from survlstm.inference.predictor import Predictor, load_bundle, log_bundle
from survlstm.inference.score_export import score_export
from survlstm.inference.score_subjects import SubjectPredictions, reason_without_dates, reason_without_values
from survlstm.report.figures.survival import TimeGrid
from survlstm.report.survival_page import ScoredCohort, write_survival_page
from survlstm.utils.data_location import expand_place, place_name
from survlstm.utils.errors import BundleError, CohortError, ConfigError
from survlstm.utils.files import write_text
from survlstm.utils.write_access import try_writing

log = logging.getLogger(__name__)

# Largest number of missing or unscored subjects that a message lists.
MOST_LISTED = 5
# The page numbers the subjects; this file beside it holds their ids.
SUBJECTS = "subjects.csv"
UNUSABLE = "its row of the patients table can't be used"


def plot_survival(config: PlotConfig) -> None:
    """Score every subject of an export and draw the selected subjects and the risk groups.

    Without ``config.subjects`` the subjects with the lowest, the median and the highest risk are drawn.

    Args:
        config: validated settings of the command; ``config.output`` is a new folder.

    Raises:
        ConfigError: the output exists, a subject is not in the export, or ``as_of`` is invalid.
        BundleError: the bundle cannot be read, or the output cannot be written.
        SourceError: the export cannot be read.
        CohortError: no subject, or none of ``config.subjects``, can be scored.
    """
    predictor = load_bundle(config.bundle, allow=config.allow)
    output = Path(config.output).expanduser()
    if output.exists():
        raise ConfigError(f"output must be new; {output} is there already. Remove it, or name another output")
    with _written(output):
        try_writing(output)
    requested = None if config.subjects is None else tuple(dict.fromkeys(str(name) for name in config.subjects))
    export = expand_place(config.data.path)
    if requested is not None:
        _refuse_unknown(requested, export, predictor)
    log_bundle(config.bundle, predictor)
    gathered = _Gathered(RiskSpread(len(predictor.grid)), frozenset(requested or ()))
    last_days = RecordEndDays()
    for part in score_export(
        predictor,
        export,
        subjects_at_once=config.subjects_at_once,
        cache_dir=config.cache_dir,
        as_of=config.as_of,
        max_unusable_share=config.data.source.max_unusable_share,
        last_days=last_days,
    ):
        gathered.add(part)
    is_landmark = predictor.bundle.about.clock == "landmark"
    notes = last_days.notes(as_of=predictor.last_entry(config.as_of), is_landmark=is_landmark)
    chosen = _chosen(gathered, requested)
    scored = _scored(gathered, chosen, predictor, config, notes)
    log.info("Scored: %s subjects; not scored: %s", f"{scored.number:,}", f"{gathered.reasons.total():,}")
    for name, reason in scored.left_out.items():
        log.warning("%s is not drawn: %s", name, reason)
    with _written(output):
        output.mkdir(parents=True)
        write_text(output / SUBJECTS, _subject_ids(chosen).to_csv(index=False), private=True)
        page = write_survival_page(output, scored)
    log.info("Survival curves: %s; ids of the subjects: %s (readable by you only)", page, output / SUBJECTS)


@contextmanager
def _written(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BundleError(f"curves must be written to {output}; the system says: {error}") from error


@dataclass
class _Gathered:
    """Values kept from the parts of a cohort, whose size does not grow with the cohort.

    Attributes:
        spread: curves of the risk groups.
        requested: ids of the subjects to draw; empty if none are named.
        ends: subjects with the lowest and the highest risk.
        rows: row of predictions of each requested subject that is scored, by id.
        why_not: reason of each requested subject that is not scored, by id; may hold dates.
        reasons: number of subjects not scored, by reason without values.
    """

    spread: RiskSpread
    requested: frozenset[str]
    ends: ExtremeSubjects = field(default_factory=ExtremeSubjects)
    rows: dict[str, pd.Series] = field(default_factory=dict)
    why_not: dict[str, str] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, part: SubjectPredictions) -> None:
        self.spread.add(part.table)
        self.ends.add(part.table)
        self.reasons.update(reason_without_values(reason) for reason in part.not_scored["reason"])
        for _, row in part.table[part.table["subject_id"].isin(self.requested)].iterrows():
            self.rows[row["subject_id"]] = row
        left_out = part.not_scored[part.not_scored["subject_id"].isin(self.requested)]
        self.why_not |= dict(zip(left_out["subject_id"], left_out["reason"], strict=True))


class _Chosen(NamedTuple):
    """A subject to draw.

    Attributes:
        name: name of the subject on the page.
        subject_id: id of the subject, which must not appear on the page.
        chosen_as: why the subject was chosen; empty if it was requested.
        row: row of predictions; None if the subject is not scored.
        reason: why the subject is not scored, without dates; empty if it is.
    """

    name: str
    subject_id: str
    chosen_as: str
    row: pd.Series | None
    reason: str


def _refuse_unknown(requested: tuple[str, ...], export: str, predictor: Predictor) -> None:
    """Raise ConfigError if an id is not in the export, before anything is scored; ids are named by their position."""
    known = _known_subjects(export, predictor.bundle.config.data.source)
    unknown = [position for position, name in enumerate(requested, start=1) if name not in known]
    if not unknown:
        return
    folded = {name.casefold() for name in known}
    alike = sum(requested[position - 1].strip().casefold() in folded for position in unknown)
    positions = ", ".join(map(str, unknown[:MOST_LISTED])) + (" …" if len(unknown) > MOST_LISTED else "")
    hint = f"; {alike} of them differ from an id only in case or spaces" if alike else ""
    raise ConfigError(
        f"subjects must be ids of {export}; {len(unknown)} of the {len(requested)} given are not among its "
        f"{len(known):,} patients: position {positions} of the list{hint}. Name others"
    )


def _known_subjects(export: str, config: SwapPoint) -> set[str]:
    """Return the ids of all subjects of an export; a source without a method ``subject_ids`` is read for them."""
    if isinstance(config, SourceConfig):
        source = SyntheaSource(export, config.tables, 1.0)
        patients = read_csv_table(source.files_by_table()[PATIENTS], PATIENT_FIELDS)
        return set(patients.columns["subject"].values.to_pylist())
    other = instantiate(config, path=export)
    names = getattr(other, "subject_ids", None)
    return set(other.read().events.subjects.subject_id.tolist() if names is None else names())


def _chosen(gathered: _Gathered, requested: tuple[str, ...] | None) -> list[_Chosen]:
    """Return the requested subjects in their order, or those with the lowest, the median and the highest risk.

    Raises:
        CohortError: no subject, or none of the requested subjects, is scored.
    """
    if not any(group.subjects for group in gathered.spread.groups()):
        why = "; ".join(f"{reason}: {number:,}" for reason, number in gathered.reasons.most_common())
        raise CohortError(
            f"at least one subject must be scored; found none of {gathered.reasons.total():,} ({why or 'no subject'}). "
            "Check data.path, as_of and what the bundle was trained on"
        )
    if requested is None:
        return _typical(gathered)
    chosen = []
    for number, name in enumerate(requested, start=1):
        reason = "" if name in gathered.rows else reason_without_dates(gathered.why_not.get(name, UNUSABLE))
        chosen.append(_Chosen(f"subject {number}", name, "", gathered.rows.get(name), reason))
    if not gathered.rows:
        why = "; ".join(f"{one.name}: {one.reason}" for one in chosen[:MOST_LISTED])
        raise CohortError(f"at least one of the given subjects must be scored; found none ({why}). Name others")
    return chosen


def _typical(gathered: _Gathered) -> list[_Chosen]:
    """Return the subjects with the lowest, the median and the highest risk; one subject can be several of these."""
    rows: dict[str, pd.Series] = {}
    positions: dict[str, list[str]] = {}
    for position, row in (
        ("lowest", gathered.ends.lowest),
        ("median", gathered.spread.median()),
        ("highest", gathered.ends.highest),
    ):
        assert row is not None, "at least one subject is scored"
        rows[row["subject_id"]] = row
        positions.setdefault(row["subject_id"], []).append(position)
    return [
        _Chosen(f"subject {number}", name, f"{' and '.join(positions[name])} risk", row, "")
        for number, (name, row) in enumerate(rows.items(), start=1)
    ]


def _subject_ids(chosen: Sequence[_Chosen]) -> pd.DataFrame:
    """Make the table of subjects.csv, the only file with ids: which subject each number on the page stands for."""
    return pd.DataFrame(
        {
            "subject": [one.name for one in chosen],
            "subject_id": [one.subject_id for one in chosen],
            "chosen_as": [one.chosen_as or "asked for" for one in chosen],
            "history_end": ["" if one.row is None else str(one.row["history_end"]) for one in chosen],
            "why_not_drawn": [one.reason for one in chosen],
        }
    )


def _scored(
    gathered: _Gathered,
    chosen: Sequence[_Chosen],
    predictor: Predictor,
    config: PlotConfig,
    notes: tuple[str, ...],
) -> ScoredCohort:
    about = predictor.bundle.about
    return ScoredCohort(
        outcome=about.outcome,
        banner=predictor.banner,
        steps=about.steps,
        times=TimeGrid(predictor.grid, predictor.unit, "prediction time" if predictor.is_on_days else "landmark"),
        horizons=predictor.horizons,
        subjects=tuple(
            subject_curve(one.row, name=one.name, horizons=predictor.horizons, chosen_as=one.chosen_as)
            for one in chosen
            if one.row is not None
        ),
        groups=gathered.spread.groups(),
        left_out={one.name: one.reason for one in chosen if one.row is None},
        not_scored=dict(gathered.reasons.most_common()),
        notes=notes,
        sample=SAMPLE if gathered.spread.is_sampled else None,
        origin={
            "Bundle": f"{about.name}, epoch {about.epoch}, exported {about.created}",
            "Data": place_name(config.data.path),
            "As of": config.as_of or ("last visit" if predictor.is_on_days else "all entries of the data"),
        },
    )
