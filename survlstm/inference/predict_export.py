"""A bundle and an export → a file of predictions, who was not scored and why, and what the columns mean."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from survlstm.config.schema.commands import PredictConfig
from survlstm.inference.model_spread import CUTS, GROUPS
from survlstm.inference.predictions_file import MEANING, open_writer, table_schema
from survlstm.inference.predictor import Predictor, load_bundle, log_bundle
from survlstm.inference.score_export import score_export
from survlstm.inference.score_subjects import (
    NOT_SCORED,
    SubjectPredictions,
    check_horizons_reached,
    reason_without_values,
)
from survlstm.utils.errors import BundleError, ConfigError
from survlstm.utils.files import atomic_file, write_json

log = logging.getLogger(__name__)

# Of so many subjects a third of the training distribution holds a third, give or take; this share is far from it.
MOST_IN_A_GROUP, FEWEST_SUBJECTS = 0.8, 30


@dataclass
class _Tally:
    """What is counted part by part; a group is a third of the training distribution of risk."""

    scored: int = 0
    groups: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(GROUPS, 0)))
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, part: SubjectPredictions) -> None:
        last = part.table.drop_duplicates("subject_id", keep="last")
        self.scored += len(last)
        self.groups.update(GROUPS[number] for number in np.searchsorted(CUTS, last["percentile"], side="right"))
        self.reasons.update(reason_without_values(reason) for reason in part.not_scored["reason"])


def predict(config: PredictConfig) -> None:
    """Score every subject; nothing stands at ``config.output`` before all are."""
    predictor = load_bundle(config.bundle)
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
            write_json(about, _facts(predictor, config, tally))
    except OSError as error:
        raise BundleError(f"predictions must be written to {output}; the system says: {error}") from error
    _tell(tally, output, left_out)


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
        Path(config.data.path).expanduser(),
        subjects_at_once=config.subjects_at_once,
        cache_dir=config.cache_dir,
        per_visit=config.per_visit,
        horizons=horizons,
        as_of=config.as_of,
        max_unusable_share=config.data.source.max_unusable_share,
    )
    pd.DataFrame(columns=list(NOT_SCORED)).to_csv(refused, index=False)
    with open_writer(
        predictions, Path(config.output).suffix, table_schema(predictor, horizons, per_visit=config.per_visit)
    ) as writer:
        for part in parts:
            writer.write(part.table)
            part.not_scored.to_csv(refused, mode="a", header=False, index=False)
            tally.add(part)
    return tally


def _tell(tally: _Tally, output: Path, left_out: Path) -> None:
    log.info("Scored: %s subjects; %s", f"{tally.scored:,}", output)
    if tally.reasons:
        told = "; ".join(f"{kind} {number:,}" for kind, number in tally.reasons.most_common())
        log.info("Not scored: %s subjects, listed in %s: %s", f"{tally.reasons.total():,}", left_out, told)
    groups = "; ".join(f"{group} {number:,}" for group, number in tally.groups.items())
    log.info("Risk, by thirds of the training distribution: %s", groups)
    (group, number), *_ = tally.groups.most_common(1)
    if tally.scored >= FEWEST_SUBJECTS and number > MOST_IN_A_GROUP * tally.scored:
        log.warning(
            "%.0f%% of the subjects are at %s, where the training subjects had a third: they are of another "
            "kind, or at another point of their records (a training record ends at the outcome, these where they end). "
            "Read the level of a risk with care",
            100 * number / tally.scored,
            group,
        )


def _facts(predictor: Predictor, config: PredictConfig, tally: _Tally) -> dict[str, object]:
    """What the file's columns mean, and by which model."""
    about = predictor.bundle.about
    unit = "visits after the last one that was read" if about.unit == "visits" else "days after the landmark"
    return {
        "bundle": about.model_dump(),
        "banner": predictor.banner,
        "data": Path(config.data.path).name,
        "as_of": config.as_of,
        "unit": unit,
        "grid": predictor.grid.tolist(),
        "columns": MEANING,
        "subjects_scored": tally.scored,
        "subjects_not_scored": dict(tally.reasons),
        "subjects_by_third_of_the_training_risk": dict(tally.groups),
    }
