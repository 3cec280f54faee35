"""Read the descriptions of the codes in a run's export."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from survlstm.config.instantiate import instantiate
from survlstm.config.schema.data import SourceConfig
from survlstm.config.schema.run import RunConfig
from survlstm.config.schema.section import SwapPoint
from survlstm.data.factory import cache_folder
from survlstm.data.sources.descriptions import descriptions_of, read_descriptions
from survlstm.data.sources.simulated import simulated_cohort
from survlstm.data.sources.synthea import SyntheaSource
from survlstm.data.values.counts import ValueCounts
from survlstm.utils.data_location import expand_place
from survlstm.utils.errors import SourceError

log = logging.getLogger(__name__)


class CodeDescriptions(NamedTuple):
    """Descriptions of codes.

    Training needs no descriptions, so an export can be fit for training although its descriptions can't be read, for
    example because of a byte that is not UTF-8.

    Attributes:
        texts: Description by code.
        missing: Why some are missing; empty if none is.
    """

    texts: dict[str, str]
    missing: str


def read_code_descriptions(config: RunConfig, cache_dir: str) -> CodeDescriptions:
    """Read the descriptions of the codes in the export of a run.

    Args:
        config: The config of the run.
        cache_dir: The cache folder, as in a config; a simulated cohort is read from there, and made again if it is
            missing.

    Returns:
        The descriptions; ``missing`` names the tables that could not be read, which is logged as a warning.
    """
    data = config.data
    if data.path is not None:
        path = expand_place(data.path)
    else:
        assert data.simulated is not None, "validated: one of path and simulated is set"
        path = str(simulated_cohort(cache_folder(cache_dir), **data.simulated.model_dump()))
    if isinstance(data.source, SourceConfig):
        found = _read_descriptions(Path(path), data.source.tables)
    else:
        found = _descriptions_of_source(data.source, path)
    if found.missing:
        which = "some codes" if found.texts else "codes"
        log.warning("%s are shown without descriptions: %s", which, found.missing)
    return found


def describe_measures(config: RunConfig, cache_dir: str, counts: ValueCounts | None) -> dict[str, str]:
    """Read the descriptions of the codes whose values are used; nothing is read if there are none.

    Args:
        config: The config of the run.
        cache_dir: The cache folder, as in a config.
        counts: Counts of the values; None if values are not used.

    Returns:
        Description by code; codes without one are absent.
    """
    codes = {each.code for each in counts.measures} if counts else set()
    texts = read_code_descriptions(config, cache_dir).texts if codes else {}
    return {code: text for code, text in texts.items() if code in codes}


def _descriptions_of_source(config: SwapPoint, path: str) -> CodeDescriptions:
    """Ask a source for descriptions; it may have none."""
    source = instantiate(config, path=path)
    if not hasattr(source, "descriptions"):
        return CodeDescriptions({}, f"{type(source).__qualname__} has no method descriptions")
    try:
        return CodeDescriptions(descriptions_of(source), "")
    except (SourceError, OSError) as error:
        return CodeDescriptions({}, str(error).rstrip("."))


def _read_descriptions(path: Path, tables: Sequence[str]) -> CodeDescriptions:
    try:
        present = SyntheaSource(str(path), tables, 1.0).files_by_table()
    except (SourceError, OSError) as error:
        return CodeDescriptions({}, str(error).rstrip("."))
    with suppress(SourceError, OSError):
        return CodeDescriptions(read_descriptions(path, tables), "")
    texts: dict[str, str] = {}
    unread: list[str] = []
    # A table that can't be read does not affect the descriptions of the others.
    for table in (name for name in present if name in tables):
        try:
            texts = read_descriptions(path, [table]) | texts
        except (SourceError, OSError) as error:
            unread.append(str(error).rstrip("."))
    return CodeDescriptions(texts, f"{'; '.join(unread)}. Training has read the codes alone, not the texts beside them")
