"""A bundle and an export → survival curves of subjects and of risk groups, as figures and on a page."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from survlstm.config.schema.commands import PlotConfig
from survlstm.data.sources.csv_table import read_csv_table
from survlstm.data.sources.synthea import SyntheaSource
from survlstm.data.sources.synthea_format import PATIENT_FIELDS, PATIENTS
from survlstm.inference.dates import RecordEndDays
from survlstm.inference.model_spread import SAMPLE, ExtremeSubjects, RiskSpread, subject_curve
from survlstm.inference.predictor import Predictor, load_bundle, log_bundle, parse_as_of
from survlstm.inference.score_export import score_export
from survlstm.inference.score_subjects import SubjectPredictions, reason_without_dates, reason_without_values
from survlstm.report.figures.survival import TimeGrid
from survlstm.report.survival_page import ScoredCohort, write_survival_page
from survlstm.utils.errors import BundleError, CohortError, ConfigError
from survlstm.utils.files import write_text
from survlstm.utils.write_access import try_writing

log = logging.getLogger(__name__)

# Of subjects that are not there, or can't be drawn, so many are told.
MOST_TOLD = 5
# Beside the page, which numbers the subjects: whose numbers they are.
SUBJECTS = "subjects.csv"
UNUSABLE = "its row of the patients table can't be used"


def plot_survival(config: PlotConfig) -> None:
    """Score every subject, then draw those of ``config.subjects`` and the risk groups into ``config.output``."""
    predictor = load_bundle(config.bundle)
    output = Path(config.output).expanduser()
    if output.exists():
        raise ConfigError(f"output must be new; {output} is there already. Remove it, or name another output")
    with _written(output):
        try_writing(output)
    asked = None if config.subjects is None else tuple(dict.fromkeys(str(name) for name in config.subjects))
    export = Path(config.data.path).expanduser()
    if asked is not None:
        _refuse_unknown(asked, export, predictor)
    log_bundle(config.bundle, predictor)
    gathered = _Gathered(RiskSpread(len(predictor.grid)), frozenset(asked or ()))
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
    notes = last_days.notes(as_of=parse_as_of(config.as_of), is_landmark=is_landmark)
    chosen = _chosen(gathered, asked)
    scored = _scored(gathered, chosen, predictor, config, notes)
    log.info("Scored: %s subjects; not scored: %s", f"{scored.number:,}", f"{gathered.reasons.total():,}")
    for name, reason in scored.left_out.items():
        log.warning("%s of those asked for is not drawn: %s", name, reason)
    with _written(output):
        output.mkdir(parents=True)
        write_text(output / SUBJECTS, _whose_numbers(chosen).to_csv(index=False), private=True)
        page = write_survival_page(output, scored)
    log.info("Survival curves: %s; whose they are: %s (only you can read it)", page, output / SUBJECTS)


@contextmanager
def _written(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BundleError(f"curves must be written to {output}; the system says: {error}") from error


@dataclass
class _Gathered:
    """What is kept of the parts: nothing that grows with the cohort."""

    spread: RiskSpread
    asked: frozenset[str]
    ends: ExtremeSubjects = field(default_factory=ExtremeSubjects)
    rows: dict[str, pd.Series] = field(default_factory=dict)
    why_not: dict[str, str] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, part: SubjectPredictions) -> None:
        self.spread.add(part.table)
        self.ends.add(part.table)
        self.reasons.update(reason_without_values(reason) for reason in part.not_scored["reason"])
        for _, row in part.table[part.table["subject_id"].isin(self.asked)].iterrows():
            self.rows[row["subject_id"]] = row
        left_out = part.not_scored[part.not_scored["subject_id"].isin(self.asked)]
        self.why_not |= dict(zip(left_out["subject_id"], left_out["reason"], strict=True))


class _Chosen(NamedTuple):
    """A subject to draw: its row of predictions, None where it has none and ``reason`` says why."""

    name: str
    subject_id: str
    chosen_as: str
    row: pd.Series | None
    reason: str


def _refuse_unknown(asked: tuple[str, ...], export: Path, predictor: Predictor) -> None:
    """ConfigError that tells by their places which ids are not there, before anything is scored."""
    source = SyntheaSource(str(export), predictor.bundle.config.data.source.tables, 1.0)
    known = set(read_csv_table(source.files_by_table()[PATIENTS], PATIENT_FIELDS).columns["subject"].values.to_pylist())
    unknown = [place for place, name in enumerate(asked, start=1) if name not in known]
    if not unknown:
        return
    loose = {name.casefold() for name in known}
    alike = sum(asked[place - 1].strip().casefold() in loose for place in unknown)
    places = ", ".join(map(str, unknown[:MOST_TOLD])) + (" …" if len(unknown) > MOST_TOLD else "")
    hint = f"; {alike} of them are there in other capitals or with spaces" if alike else ""
    raise ConfigError(
        f"subjects must be ids of {export}; {len(unknown)} of the {len(asked)} asked for are not among its "
        f"{len(known):,} patients, in place {places} of the list{hint}. Name others"
    )


def _chosen(gathered: _Gathered, asked: tuple[str, ...] | None) -> list[_Chosen]:
    """The subjects asked for in their order, or the lowest, the median and the highest risk; CohortError for none."""
    if not any(group.subjects for group in gathered.spread.groups()):
        why = "; ".join(f"{reason}: {number:,}" for reason, number in gathered.reasons.most_common())
        raise CohortError(
            f"at least one subject must be scored; found none of {gathered.reasons.total():,} ({why or 'no subject'}). "
            "Check data.path, as_of and what the bundle was trained on"
        )
    if asked is None:
        return _typical(gathered)
    chosen = []
    for place, name in enumerate(asked, start=1):
        reason = "" if name in gathered.rows else reason_without_dates(gathered.why_not.get(name, UNUSABLE))
        chosen.append(_Chosen(f"subject {place}", name, "", gathered.rows.get(name), reason))
    if not gathered.rows:
        why = "; ".join(f"{one.name}: {one.reason}" for one in chosen[:MOST_TOLD])
        raise CohortError(f"at least one of the subjects asked for must be scored; found none ({why}). Name others")
    return chosen


def _typical(gathered: _Gathered) -> list[_Chosen]:
    """The lowest, the median and the highest risk; of few subjects one may be several of these."""
    rows: dict[str, pd.Series] = {}
    called: dict[str, list[str]] = {}
    for what, row in (
        ("lowest", gathered.ends.lowest),
        ("median", gathered.spread.median()),
        ("highest", gathered.ends.highest),
    ):
        assert row is not None, "somebody is scored"
        rows[row["subject_id"]] = row
        called.setdefault(row["subject_id"], []).append(what)
    return [
        _Chosen(f"subject {place}", name, f"{' and '.join(called[name])} risk", row, "")
        for place, (name, row) in enumerate(rows.items(), start=1)
    ]


def _whose_numbers(chosen: Sequence[_Chosen]) -> pd.DataFrame:
    """Which subject each number of the page stands for: the one file with ids."""
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
        times=TimeGrid(predictor.grid, predictor.unit),
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
            "Data": Path(config.data.path).name,
            "As of": config.as_of or "everything that the data hold",
        },
    )
