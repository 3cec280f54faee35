"""Run ``survlstm predict``: write the predictions for an export, the subjects not scored, and a description."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from survlstm.config.schema.commands import PredictConfig
from survlstm.inference.model_spread import CUTS, GROUPS
from survlstm.inference.prediction_time import is_table
from survlstm.inference.predictions_file import column_meanings, open_writer, table_schema
from survlstm.inference.predictor import Predictor, load_bundle, log_bundle
from survlstm.inference.score_export import score_export
from survlstm.inference.score_subjects import (
    NOT_SCORED,
    ROWS_NOT_SCORED,
    SubjectPredictions,
    check_horizons_reached,
    reason_without_values,
)
from survlstm.utils.data_location import place_name
from survlstm.utils.errors import BundleError, ConfigError
from survlstm.utils.files import atomic_file, write_json

log = logging.getLogger(__name__)

# A warning is given if one third of the training distribution holds more than this share of at least so many subjects.
MOST_IN_A_GROUP, FEWEST_SUBJECTS = 0.8, 30


@dataclass
class _Tally:
    """Counts that are accumulated part by part.

    Attributes:
        scored: number of scored subjects.
        rows: number of their predictions.
        groups: number of subjects in each third of the training distribution of risk.
        reasons: number of subjects not scored, on the days clock of prediction times, by reason without values.
    """

    scored: int = 0
    rows: int = 0
    groups: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(GROUPS, 0)))
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, part: SubjectPredictions) -> None:
        self.reasons.update(reason_without_values(reason) for reason in part.not_scored["reason"])
        if not len(part.table):
            return
        last = part.table.drop_duplicates("subject_id", keep="last")
        self.rows += len(part.table)
        self.scored += len(last)
        self.groups.update(GROUPS[number] for number in np.searchsorted(CUTS, last["percentile"], side="right"))


def predict(config: PredictConfig) -> None:
    """Score every subject of an export, or every prediction time of a table, and write the result.

    Beside ``config.output`` two files are written: ``<stem>.not_scored.csv`` with the reasons, and ``<stem>.json`` with
    the meaning of the columns. The predictions appear at ``config.output`` only when all subjects are scored.

    Args:
        config: validated settings of the command.

    Raises:
        ConfigError: an output file exists, or ``horizons`` or ``as_of`` is invalid.
        BundleError: the bundle cannot be read, or the output cannot be written.
        SourceError: the export cannot be read.
    """
    predictor = load_bundle(config.bundle, allow=config.allow)
    output = Path(config.output).expanduser()
    left_out, about = output.with_name(f"{output.stem}.not_scored.csv"), output.with_name(f"{output.stem}.json")
    _refuse_existing(output, left_out, about)
    horizons = check_horizons_reached(predictor.bundle, config.horizons)
    log_bundle(config.bundle, predictor)
    try:
        output.absolute().parent.mkdir(parents=True, exist_ok=True)
        # The predictions get their name last.
        with atomic_file(output) as predictions, atomic_file(left_out, private=True) as refused:
            tally = _write(predictions, refused, predictor, config, horizons=horizons)
            write_json(about, _description(predictor, config, tally))
    except OSError as error:
        raise BundleError(f"predictions must be written to {output}; the system says: {error}") from error
    _log_summary(tally, output, left_out, unit="prediction times" if predictor.is_on_days else "subjects")


def _refuse_existing(*files: Path) -> None:
    there = [str(file) for file in files if file.exists()]
    if there:
        raise ConfigError(f"output must be new; {', '.join(there)} is there already. Remove it, or name another output")


def _write(
    predictions: Path, refused: Path, predictor: Predictor, config: PredictConfig, *, horizons: tuple[float, ...]
) -> _Tally:
    tally = _Tally()
    parts = score_export(
        predictor,
        config.data.path,
        subjects_at_once=config.subjects_at_once,
        cache_dir=config.cache_dir,
        per_visit=config.per_visit,
        horizons=horizons,
        as_of=config.as_of,
        max_unusable_share=config.data.source.max_unusable_share,
    )
    columns = list(ROWS_NOT_SCORED if predictor.is_on_days else NOT_SCORED)
    pd.DataFrame(columns=columns).to_csv(refused, index=False)
    with open_writer(
        predictions, Path(config.output).suffix, table_schema(predictor, horizons, per_visit=config.per_visit)
    ) as writer:
        for part in parts:
            if len(part.table.columns):
                writer.write(part.table)
            part.not_scored.to_csv(refused, mode="a", header=False, index=False, date_format="%Y-%m-%dT%H:%M:%SZ")
            tally.add(part)
    return tally


def _log_summary(tally: _Tally, output: Path, left_out: Path, *, unit: str) -> None:
    at_times = f" at {tally.rows:,} prediction times" if unit != "subjects" else ""
    log.info("Scored: %s subjects%s; %s", f"{tally.scored:,}", at_times, output)
    if tally.reasons:
        reasons = "; ".join(f"{reason} {number:,}" for reason, number in tally.reasons.most_common())
        log.info("Not scored: %s %s, listed in %s: %s", f"{tally.reasons.total():,}", unit, left_out, reasons)
    groups = "; ".join(f"{group} {number:,}" for group, number in tally.groups.items())
    log.info("Risk, by thirds of the training distribution: %s", groups)
    (group, number), *_ = tally.groups.most_common(1)
    if tally.scored >= FEWEST_SUBJECTS and number > MOST_IN_A_GROUP * tally.scored:
        log.warning(
            "%.0f%% of the subjects are at %s, against a third of the training subjects: the cohorts differ, or their "
            "records are at another point (a training record ends at the outcome, these at their last visit). "
            "Interpret the level of a risk with care",
            100 * number / tally.scored,
            group,
        )


def _description(predictor: Predictor, config: PredictConfig, tally: _Tally) -> dict[str, object]:
    """Return the content of the JSON file: the model, the meaning of the columns and the counts."""
    about = predictor.bundle.about
    unit = {
        "visit": "visits after the last one that was read",
        "landmark": "days after the landmark",
        "days": "days after the prediction time",
    }[about.clock]
    of_rows = {"rows_scored": tally.rows, "rows_not_scored": dict(tally.reasons)}
    of_subjects = {"subjects_not_scored": dict(tally.reasons)}
    return {
        "bundle": about.model_dump(),
        "banner": predictor.banner,
        "data": place_name(config.data.path),
        "as_of": place_name(config.as_of) if config.as_of and is_table(config.as_of) else config.as_of,
        "unit": unit,
        "grid": predictor.grid.tolist(),
        "columns": column_meanings(about.clock),
        "subjects_scored": tally.scored,
        **(of_rows if predictor.is_on_days else of_subjects),
        "subjects_by_third_of_the_training_risk": dict(tally.groups),
    }
