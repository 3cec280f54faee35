"""A bundle and an export → survival curves of subjects and of risk groups, as figures and on a page."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

import pandas as pd

from survlstm.command_config import PlotConfig
from survlstm.data.sources.csv_table import read_csv_table
from survlstm.data.sources.synthea import SyntheaSource
from survlstm.data.sources.synthea_format import PATIENT_FIELDS, PATIENTS
from survlstm.errors import BundleError, CohortError, ConfigError
from survlstm.report.figures.survival import SubjectCurve, Times
from survlstm.report.survival_page import Scored, write_survival_page
from survlstm.run_folder import try_writing
from survlstm.scoring.cohort import score_export
from survlstm.scoring.predictor import Predictor, load_bundle, show_bundle
from survlstm.scoring.score import Predictions, kind_of
from survlstm.scoring.spread import SAMPLE, Ends, Spread, curve_of

log = logging.getLogger(__name__)

# Of ids that are not there, and of notes on the data, so many are told.
MOST_TOLD = 5
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
    show_bundle(config.bundle, predictor)
    gathered = _Gathered(Spread(len(predictor.grid)), frozenset(asked or ()))
    for part in score_export(
        predictor,
        export,
        subjects_at_once=config.subjects_at_once,
        cache_dir=config.cache_dir,
        as_of=config.as_of,
        max_unusable_share=config.data.source.max_unusable_share,
    ):
        gathered.add(part)
    scored = _scored(gathered, predictor, asked, config)
    log.info("Scored: %s subjects; not scored: %s", f"{scored.number:,}", f"{gathered.reasons.total():,}")
    for name, reason in scored.left_out.items():
        log.warning("WARNING: %s is not drawn: %s", name, reason)
    with _written(output):
        output.mkdir(parents=True)
        page = write_survival_page(output, scored)
    log.info("Survival curves: %s", page)


@contextmanager
def _written(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BundleError(f"curves must be written to {output}; the system says: {error}") from error


@dataclass
class _Gathered:
    """What is kept of the parts: nothing that grows with the cohort."""

    spread: Spread
    asked: frozenset[str]
    ends: Ends = field(default_factory=Ends)
    rows: dict[str, pd.Series] = field(default_factory=dict)
    why_not: dict[str, str] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    notes: dict[str, None] = field(default_factory=dict)

    def add(self, part: Predictions) -> None:
        self.spread.add(part.table)
        self.ends.add(part.table)
        self.reasons.update(kind_of(reason) for reason in part.not_scored["reason"])
        self.notes |= dict.fromkeys(part.notes[:MOST_TOLD])
        for _, row in part.table[part.table["subject_id"].isin(self.asked)].iterrows():
            self.rows[row["subject_id"]] = row
        left_out = part.not_scored[part.not_scored["subject_id"].isin(self.asked)]
        self.why_not |= dict(zip(left_out["subject_id"], left_out["reason"], strict=True))


def _refuse_unknown(asked: tuple[str, ...], export: Path, predictor: Predictor) -> None:
    """ConfigError with the nearest ids, before anything is scored."""
    source = SyntheaSource(str(export), predictor.bundle.config.data.source.tables, 1.0)
    known = read_csv_table(source.files_by_table()[PATIENTS], PATIENT_FIELDS).columns["subject"].values.to_pylist()
    unknown = sorted(set(asked) - set(known))
    if not unknown:
        return
    near = ", ".join(get_close_matches(unknown[0], known, n=3, cutoff=0.0)) or "none"
    raise ConfigError(
        f"subjects must be ids of {export}; {', '.join(unknown[:MOST_TOLD])} not among its {len(known):,} "
        f"({len(unknown)} of {len(asked)} asked for). The nearest to {unknown[0]}: {near}"
    )


def _scored(gathered: _Gathered, predictor: Predictor, asked: tuple[str, ...] | None, config: PlotConfig) -> Scored:
    groups = gathered.spread.groups()
    if not any(group.subjects for group in groups):
        why = "; ".join(f"{reason}: {number:,}" for reason, number in gathered.reasons.most_common())
        raise CohortError(
            f"at least one subject must be scored; found none of {gathered.reasons.total():,} ({why or 'no subject'}). "
            "Check data.path, as_of and what the bundle was trained on"
        )
    names = asked or ()
    left_out = {name: gathered.why_not.get(name, UNUSABLE) for name in names if name not in gathered.rows}
    if asked is not None and not gathered.rows:
        why = "; ".join(f"{name}: {reason}" for name, reason in list(left_out.items())[:MOST_TOLD])
        raise CohortError(f"at least one of the subjects asked for must be scored; found none ({why}). Name others")
    about = predictor.bundle.about
    return Scored(
        outcome=about.outcome,
        banner=predictor.banner,
        steps=about.steps,
        times=Times(predictor.grid, predictor.unit),
        horizons=predictor.horizons,
        subjects=_typical(gathered, predictor) if asked is None else _asked(names, gathered, predictor),
        groups=groups,
        left_out=left_out,
        not_scored=dict(gathered.reasons.most_common()),
        notes=tuple(gathered.notes)[:MOST_TOLD],
        sample=SAMPLE if gathered.spread.is_sampled else None,
        origin={
            "Bundle": f"{about.name}, epoch {about.epoch}, exported {about.created}",
            "Data": Path(config.data.path).name,
            "As of": config.as_of or "everything that the data hold",
        },
    )


def _asked(names: tuple[str, ...], gathered: _Gathered, predictor: Predictor) -> tuple[SubjectCurve, ...]:
    found = (gathered.rows[name] for name in names if name in gathered.rows)
    return tuple(curve_of(row, horizons=predictor.horizons, chosen_as="") for row in found)


def _typical(gathered: _Gathered, predictor: Predictor) -> tuple[SubjectCurve, ...]:
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
    return tuple(
        curve_of(row, horizons=predictor.horizons, chosen_as=f"{' and '.join(called[name])} risk")
        for name, row in rows.items()
    )
