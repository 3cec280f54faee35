"""An export of any size and a bundle → predictions part by part, in bounded memory, every row accounted for."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from tqdm import tqdm

from survlstm.build import build_source, cache_folder
from survlstm.data.events import Reading, TableCount
from survlstm.data.sources import synthea
from survlstm.data.sources.shards import check_unusable_shares, merged, shards
from survlstm.data.vocabulary import UNK
from survlstm.scoring.predictor import AsOf, Predictor
from survlstm.scoring.score import Predictions, kind_of

log = logging.getLogger(__name__)

SHOWN_CODES = 5


def score_export(
    predictor: Predictor,
    path: Path,
    *,
    subjects_at_once: int,
    cache_dir: str,
    per_visit: bool = False,
    horizons: Sequence[float] | None = None,
    as_of: AsOf = None,
    max_unusable_share: float | None = None,
) -> Iterator[Predictions]:
    """The predictions of at most ``subjects_at_once`` subjects at a time, in the order of their ids.

    Raises SourceError for an export that can't be read, and after the last part, where more than
    ``max_unusable_share`` of a table's rows were unusable (None: as in training): what was yielded is then void.
    """
    data = predictor.bundle.config.data
    counts: list[tuple[TableCount, ...]] = []
    done = 0
    unknown: Counter[str] = Counter()
    warnings: list[str] = []
    with shards(
        path, tables=data.source.tables, subjects_at_once=subjects_at_once, into=cache_folder(cache_dir)
    ) as cut:
        counts.append(cut.malformed)
        whole = data.source.model_copy(update={"max_unusable_share": 1.0})
        with tqdm(total=cut.subjects, desc="Scoring", unit=" subjects", disable=None) as bar:
            for number, folder in enumerate(cut.folders, start=1):
                part = data.model_copy(update={"path": str(folder), "simulated": None, "source": whole})
                with _quiet(many=len(cut.folders) > 1):
                    reading = build_source(part, folder).read()
                counts.append(reading.tables)
                warnings += reading.warnings
                unknown += _unknown(predictor, reading)
                yield predictor.predict_events(reading.events, per_visit=per_visit, horizons=horizons, as_of=as_of)
                done += len(reading.events.subjects)
                bar.update(len(reading.events.subjects))
                if len(cut.folders) > 1:
                    log.info(
                        "Part %d of %d scored (%s)", number, len(cut.folders), f"{done:,} of {cut.subjects:,} subjects"
                    )
    _tell(merged(counts), unknown, warnings)
    _warn_of_missing_tables(merged(counts), predictor.bundle.reference.tables)
    limit = data.source.max_unusable_share if max_unusable_share is None else max_unusable_share
    check_unusable_shares(merged(counts), limit=limit)


def _unknown(predictor: Predictor, reading: Reading) -> Counter[str]:
    """How often each code that the model does not know occurs."""
    events, vocabulary = reading.events, predictor.bundle.fitted.vocabulary
    times = np.bincount(events.code, minlength=len(events.codes))
    strange = (vocabulary.number(events.codes) == vocabulary.entries.index(UNK)) & (times > 0)
    return Counter({str(events.codes[number]): int(times[number]) for number in np.flatnonzero(strange)})


def _tell(counts: tuple[TableCount, ...], unknown: Counter[str], warnings: Sequence[str]) -> None:
    for count in counts:
        why = "; ".join(f"{reason} {rows:,}" for reason, rows in {**count.left_out, **count.unusable}.items() if rows)
        log.info(
            "%s: %s rows read, %s used%s",
            count.table,
            f"{count.rows_read:,}",
            f"{count.rows_used:,}",
            why and f" ({why})",
        )
    parts = Counter(kind_of(warning) for warning in warnings)
    # Each part says it with its own numbers.
    for warning in {kind_of(warning): warning for warning in reversed(warnings)}.values():
        others = parts[kind_of(warning)] - 1
        log.warning("WARNING: %s%s", warning, f" ({others} other parts say the like)" if others else "")
    if unknown:
        first = ", ".join(f"{code} {times:,}" for code, times in unknown.most_common(SHOWN_CODES))
        log.info(
            "Codes unknown to the model: %s, in %s entries; %s …", f"{len(unknown):,}", f"{unknown.total():,}", first
        )


def _warn_of_missing_tables(counts: tuple[TableCount, ...], trained_on: Sequence[str]) -> None:
    missing = set(trained_on) - {count.table for count in counts if count.rows_used}
    if missing:
        log.warning(
            "WARNING: the model was trained on %s too, of which this export holds no row: its visits look emptier than "
            "any that the model has seen. Export these tables as well, or train a model without them "
            "(data.source.tables)",
            ", ".join(sorted(missing)),
        )


@contextmanager
def _quiet(*, many: bool) -> Iterator[None]:
    """Of many parts none tells what it holds; the sums are told at the end."""
    level = synthea.log.level
    if many:
        synthea.log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        synthea.log.setLevel(level)
