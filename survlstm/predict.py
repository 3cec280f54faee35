"""A bundle and an export → a file of predictions, who was not scored and why, and what the columns mean."""

from __future__ import annotations

import json
import logging
import uuid
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from survlstm.command_config import PredictConfig
from survlstm.errors import BundleError, ConfigError
from survlstm.files import write_json
from survlstm.scoring.cohort import score_export
from survlstm.scoring.predictor import Predictor, load_bundle
from survlstm.scoring.score import NOT_SCORED, checked_horizons, kind_of

log = logging.getLogger(__name__)

MEANING = {
    "history_end": "time of the last visit that was read, UTC",
    "entries_unknown": "entries read whose code the model does not know, among entries",
    "hazard": "probability of the event in the step after that visit",
    "risk": "probability of the event by the last time of the grid; higher = sooner",
    "percentile": "0 to 100: the share of the training subjects with a lower risk",
    "survival_<h>": "probability of no event by h",
    "curve": "probability of no event by each time of the grid",
}


def predict(config: PredictConfig) -> None:
    """Score every subject; nothing stands at ``config.output`` before all are."""
    predictor = load_bundle(config.bundle)
    output = Path(config.output).expanduser()
    left_out = output.with_name(f"{output.stem}.not_scored.csv")
    about = output.with_name(f"{output.stem}.json")
    _refuse_existing(output, left_out, about)
    horizons = checked_horizons(predictor.bundle, config.horizons)
    log.info("Bundle: %s (%s)\n%s", config.bundle, predictor.bundle.about.name, predictor.bundle.about.outcome)
    aside = output.with_name(f".{output.name}-{uuid.uuid4().hex}")
    scored, reasons, listed = 0, Counter[str](), []
    try:
        output.absolute().parent.mkdir(parents=True, exist_ok=True)
        with _writer(aside, output.suffix, _schema(predictor, horizons, per_visit=config.per_visit)) as writer:
            for part in score_export(
                predictor,
                Path(config.data.path).expanduser(),
                subjects_at_once=config.subjects_at_once,
                cache_dir=config.cache_dir,
                per_visit=config.per_visit,
                horizons=horizons,
                as_of=config.as_of,
                max_unusable_share=config.data.source.max_unusable_share,
            ):
                writer.write(part.table)
                listed.append(part.not_scored)
                scored += part.table["subject_id"].nunique()
                reasons.update(kind_of(reason) for reason in part.not_scored["reason"])
        pd.concat([pd.DataFrame(columns=list(NOT_SCORED)), *listed]).to_csv(left_out, index=False)
        write_json(about, _facts(predictor, config, scored=scored, reasons=reasons))
        aside.rename(output)
    except OSError as error:
        raise BundleError(f"predictions must be written to {output}; the system says: {error}") from error
    finally:
        with suppress(OSError):
            aside.unlink()
    log.info("Scored: %s subjects; %s", f"{scored:,}", output)
    if reasons:
        told = "; ".join(f"{kind} {number:,}" for kind, number in reasons.most_common())
        log.info("Not scored: %s subjects, listed in %s: %s", f"{reasons.total():,}", left_out, told)


def _refuse_existing(*files: Path) -> None:
    there = [str(file) for file in files if file.exists()]
    if there:
        raise ConfigError(f"output must be new; {', '.join(there)} is there already. Remove it, or name another output")


def _schema(predictor: Predictor, horizons: Sequence[float], *, per_visit: bool) -> pa.Schema:
    """The table's columns: parts without a subject have them too."""
    is_landmark = predictor.bundle.about.clock == "landmark"
    columns = [("subject_id", pa.string())]
    columns += [("visit", pa.int64())] if per_visit else []
    columns += [("landmark", pa.timestamp("s"))] if is_landmark else []
    columns += [("history_end", pa.timestamp("s"))]
    columns += [(name, pa.int64()) for name in ("visits", "entries", "entries_unknown")]
    columns += [] if is_landmark else [("hazard", pa.float64())]
    columns += [(name, pa.float64()) for name in ("risk", "percentile", *(f"survival_{h:g}" for h in horizons))]
    columns += [("curve", pa.list_(pa.float64()))]
    facts = {"unit": predictor.unit, "grid": json.dumps(predictor.grid.tolist()), "bundle": predictor.bundle.about.name}
    return pa.schema(columns, metadata=facts)


class _Writer(Protocol):
    def write(self, table: pd.DataFrame) -> None: ...

    def __enter__(self) -> _Writer: ...

    def __exit__(self, *ended: object) -> None: ...


class _Parquet:
    def __init__(self, file: Path, schema: pa.Schema) -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(file, schema)

    def write(self, table: pd.DataFrame) -> None:
        self._writer.write_table(pa.Table.from_pandas(table, schema=self._schema, preserve_index=False))

    def __enter__(self) -> _Parquet:
        return self

    def __exit__(self, *ended: object) -> None:
        self._writer.close()


class _Csv:
    def __init__(self, file: Path, schema: pa.Schema) -> None:
        self._names = schema.names
        self._stream = file.open("w", encoding="utf-8", newline="")
        pd.DataFrame(columns=self._names).to_csv(self._stream, index=False)

    def write(self, table: pd.DataFrame) -> None:
        curves = [json.dumps(curve.tolist()) for curve in table["curve"]]
        table.assign(curve=curves)[self._names].to_csv(
            self._stream, index=False, header=False, date_format="%Y-%m-%dT%H:%M:%SZ"
        )

    def __enter__(self) -> _Csv:
        return self

    def __exit__(self, *ended: object) -> None:
        self._stream.close()


def _writer(file: Path, ending: str, schema: pa.Schema) -> _Writer:
    return _Parquet(file, schema) if ending == ".parquet" else _Csv(file, schema)


def _facts(predictor: Predictor, config: PredictConfig, *, scored: int, reasons: Counter[str]) -> dict[str, object]:
    """What the file's columns mean, and by which model."""
    about = predictor.bundle.about
    unit = "visits after the last one that was read" if about.unit == "visits" else "days after the landmark"
    return {
        "bundle": about.model_dump(),
        "data": Path(config.data.path).name,
        "as_of": config.as_of,
        "unit": unit,
        "grid": predictor.grid.tolist(),
        "columns": MEANING,
        "subjects_scored": scored,
        "subjects_not_scored": dict(reasons),
    }
