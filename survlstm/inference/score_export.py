"""Score an export of any size part by part in bounded memory, and account for every row of its tables."""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from survlstm.data.events import SourceData, TableCount
from survlstm.data.factory import build_source, cache_folder
from survlstm.data.source_parts import open_parts
from survlstm.data.sources.shards import check_unusable_shares, merge_counts
from survlstm.data.vocabulary import UNK
from survlstm.inference.asked_parts import AskedParts
from survlstm.inference.dates import RecordEndDays
from survlstm.inference.prediction_time import AsOf
from survlstm.inference.predictor import Predictor
from survlstm.inference.score_subjects import SubjectPredictions, reason_without_values
from survlstm.inference.value_notes import ReadValues

log = logging.getLogger(__name__)

# A code is shown only if so many subjects have it: a rarer one could be an id in the wrong column.
SHOWN_CODES, FEWEST_SUBJECTS = 5, 10


def score_export(
    predictor: Predictor,
    path: Path | str,
    *,
    subjects_at_once: int,
    cache_dir: str,
    per_visit: bool = False,
    horizons: Sequence[float] | None = None,
    as_of: AsOf = None,
    max_unusable_share: float | None = None,
    last_days: RecordEndDays | None = None,
) -> Iterator[SubjectPredictions]:
    """Yield the predictions for an export in parts, each in the order of the subjects' ids.

    Counts of rows, unknown codes and notes on dates and values are logged at the end, for all parts together. The
    yielded parts have no notes. If ``as_of`` is a table, a last part without predictions names its rows whose subjects
    are not in the export.

    Args:
        predictor: the model.
        path: folder of the export, or another place that the bundle's source reads.
        subjects_at_once: largest number of subjects in a part, which bounds the memory.
        cache_dir: folder in which the parts of the export are stored temporarily.
        per_visit: see ``Predictor.predict``.
        horizons: see ``Predictor.predict``.
        as_of: see ``Predictor.predict``.
        max_unusable_share: largest accepted share of unusable rows of a table; None for that of the training.
        last_days: collects when the records end, for a caller that reports notes on dates itself; None if not needed.

    Raises:
        ConfigError: ``as_of`` is invalid or missing, see ``Predictor.check_as_of``.
        CohortError: ``as_of`` is a table that cannot be read.
        SourceError: the export cannot be read, or, after the last part, a table has too many unusable rows. All parts
            that were yielded are then invalid.
    """
    predictor.check_as_of(as_of)
    asked = predictor.asked_times(as_of, per_visit=per_visit) if predictor.is_on_days else None
    times = AskedParts(None if asked is None else asked.table)
    data = predictor.bundle.config.data
    counts: list[tuple[TableCount, ...]] = []
    done = 0
    unknown = _UnknownCodes()
    warnings: list[str] = []
    values = ReadValues()
    last_days = RecordEndDays() if last_days is None else last_days
    cache = cache_folder(cache_dir)
    source = build_source(data.model_copy(update={"path": str(path), "simulated": None}), cache)
    with open_parts(source, subjects_at_once=subjects_at_once, into=cache) as cut:
        counts.append(cut.uncounted)
        with tqdm(total=cut.subjects, desc="Scoring", unit=" subjects", disable=None) as bar:
            for number, part in enumerate(cut.parts, start=1):
                reading = cut.read(part)
                counts.append(reading.tables)
                warnings += [*reading.warnings, *predictor.notes_on_static(reading.events.subjects)]
                unknown.add(predictor, reading)
                known = reading.events.subjects.subject_id
                predictions = predictor.predict_events(
                    reading.events, per_visit=per_visit, horizons=horizons, as_of=times.part(known, as_of)
                )
                times.add(predictions)
                last_days.add(predictions.ends)
                values = values.plus(predictions.values)
                yield dataclasses.replace(predictions, notes=())
                done += len(reading.events.subjects)
                bar.update(len(reading.events.subjects))
                if len(cut.parts) > 1:
                    counted = f"{done:,} of {cut.subjects:,} subjects"
                    log.info("Part %d of %d scored (%s)", number, len(cut.parts), counted)
    if times.unknown is not None:
        yield times.unknown
    is_landmark = predictor.bundle.about.clock == "landmark"
    warnings += [*last_days.notes(as_of=predictor.last_entry(as_of), is_landmark=is_landmark), *values.notes]
    if asked is not None:
        warnings += times.notes(predictor.bundle, asked)
    _log_counts(merge_counts(counts), unknown, warnings)
    _warn_of_missing_tables(merge_counts(counts), predictor.bundle.reference.tables)
    limit = data.source.settings().get("max_unusable_share", 1.0) if max_unusable_share is None else max_unusable_share
    check_unusable_shares(merge_counts(counts), limit=limit)


class _UnknownCodes:
    """Counts of the codes outside the vocabulary: number of entries and of subjects of each."""

    def __init__(self) -> None:
        self.entries: Counter[str] = Counter()
        self._subjects: Counter[str] = Counter()

    def add(self, predictor: Predictor, reading: SourceData) -> None:
        """Count the unknown codes of a part. A subject is in one part only, so that subjects can be added up."""
        events, vocabulary = reading.events, predictor.bundle.preprocessing.vocabulary
        is_unknown = vocabulary.number(events.codes) == vocabulary.entries.index(UNK)
        rows = is_unknown[events.code]
        subjects = np.int64(len(events.subjects))
        pairs = np.unique(events.code[rows] * subjects + events.subject[rows])
        for counter, codes in ((self.entries, events.code[rows]), (self._subjects, pairs // max(subjects, 1))):
            numbers, times = np.unique(codes, return_counts=True)
            counter.update({str(events.codes[number]): int(time) for number, time in zip(numbers, times, strict=True)})

    def sentence(self) -> str:
        """Return a sentence with the number of unknown codes and the most frequent ones that may be shown."""
        common = [name for name, _ in self.entries.most_common() if self._subjects[name] >= FEWEST_SUBJECTS]
        shown = ", ".join(f"{name} {self.entries[name]:,}" for name in common[:SHOWN_CODES])
        return (
            f"Codes unknown to the model: {len(self.entries):,}, in {self.entries.total():,} entries; the most "
            f"frequent that at least {FEWEST_SUBJECTS} subjects have: {shown or 'none'}"
        )


def _log_counts(counts: tuple[TableCount, ...], unknown: _UnknownCodes, warnings: Sequence[str]) -> None:
    for count in counts:
        log.info("%s", count.sentence)
    parts = Counter(reason_without_values(warning) for warning in warnings)
    # Parts give the same warning with different numbers: the first is logged, the others are counted.
    for warning in {reason_without_values(warning): warning for warning in reversed(warnings)}.values():
        others = parts[reason_without_values(warning)] - 1
        log.warning("%s%s", warning, f" (similar in {others} other parts)" if others else "")
    if unknown.entries:
        log.info("%s", unknown.sentence())


def _warn_of_missing_tables(counts: tuple[TableCount, ...], trained_on: Sequence[str]) -> None:
    missing = set(trained_on) - {count.table for count in counts if count.rows_used}
    if missing:
        log.warning(
            "the model was trained on %s as well, but this export has no row of these tables: its visits hold fewer "
            "codes than those that the model was trained on. Export these tables too, or train a model without them "
            "(data.source.tables)",
            ", ".join(sorted(missing)),
        )
