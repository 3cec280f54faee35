"""Convert the records of any source to a MEDS dataset."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

from tqdm import tqdm

from survlstm.data.events import TableCount
from survlstm.data.source_parts import open_parts
from survlstm.data.sources.descriptions import descriptions_of
from survlstm.data.sources.meds.writer import MedsWriter
from survlstm.data.sources.protocol import Source, SourceWithParents
from survlstm.data.sources.shards import check_unusable_shares, merge_counts
from survlstm.utils.errors import ConfigError, SourceError
from survlstm.utils.files import PRIVATE_FOLDER, atomic_folder

log = logging.getLogger(__name__)


def convert_to_meds(
    source: Source,
    output: Path,
    *,
    dataset_name: str,
    subjects_per_shard: int,
    max_unusable_share: float,
    cache: Path,
) -> None:
    """Write the records of a source as a MEDS dataset.

    The source is read in parts, and each part becomes a shard. The dataset appears under its name only when it is
    whole.

    Args:
        source: The source.
        output: Folder of the dataset; it must be missing or empty.
        dataset_name: Name of the dataset, for its metadata.
        subjects_per_shard: Greatest number of subjects of a shard, for a source that can be read in parts.
        max_unusable_share: Greatest share of a table's rows, 0 to 1, that may be unusable.
        cache: Folder for temporary files.

    Raises:
        ConfigError: ``output`` has content, or can't be written.
        SourceError: The records can't be read, or too many rows are unusable.
    """
    output = output.expanduser()
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ConfigError(f"output must be a new or empty folder; {output} has content. Name another one")
    try:
        with atomic_folder(output) as folder:
            folder.mkdir(mode=PRIVATE_FOLDER)
            writer = MedsWriter(folder)
            counts = _write_parts(source, writer, subjects_per_shard=subjects_per_shard, cache=cache)
            for count in counts:
                log.info("%s", count.sentence)
            check_unusable_shares(counts, limit=max_unusable_share)
            writer.finish(
                dataset_name=dataset_name,
                descriptions=_descriptions(source),
                parents=source.parents() if isinstance(source, SourceWithParents) else {},
            )
    except OSError as error:
        raise ConfigError(
            f"output must be a folder that can be written; found {output}: {error.strerror or error}"
        ) from error
    log.info("MEDS dataset: %s subjects, %s events; %s", f"{writer.subjects:,}", f"{writer.events:,}", output)
    if writer.without_rows:
        log.warning(
            "%s subjects have no entry, birth or death; a MEDS dataset has no row for them, so they are missing in it",
            f"{writer.without_rows:,}",
        )


def _write_parts(source: Source, writer: MedsWriter, *, subjects_per_shard: int, cache: Path) -> tuple[TableCount, ...]:
    counts: list[tuple[TableCount, ...]] = []
    warnings: Counter[str] = Counter()
    with open_parts(source, subjects_at_once=subjects_per_shard, into=cache) as divided:
        counts.append(divided.uncounted)
        with tqdm(total=divided.subjects, desc="Converting", unit=" subjects", disable=None) as bar:
            for part in divided.parts:
                reading = divided.read(part)
                writer.add(reading)
                counts.append(reading.tables)
                warnings.update(reading.warnings)
                bar.update(len(reading.events.subjects))
    for warning in warnings:
        log.warning("%s", warning)
    return merge_counts(counts)


def _descriptions(source: Source) -> dict[str, str]:
    try:
        return descriptions_of(source)
    except SourceError as error:
        log.warning("the codes get no descriptions: %s", str(error).rstrip("."))
        return {}
