"""Read the tables below ``metadata/`` of a MEDS dataset: splits, descriptions, hierarchy and ids of the source."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int8, Int64

from survlstm.data.sources.descriptions import LONGEST
from survlstm.data.sources.meds.files import MedsFiles, read_errors
from survlstm.data.sources.meds.names import (
    CODE,
    CODES_FILE,
    DESCRIPTION,
    HELD_OUT,
    PARENTS,
    SOURCE_SUBJECT,
    SOURCE_SUBJECTS_FILE,
    SPLIT,
    SPLITS_FILE,
    SUBJECT,
    TRAIN,
    TUNING,
)
from survlstm.data.sources.meds.schema import check_columns, is_integer, is_text, read_schema
from survlstm.data.sources.row_checks import LONGEST_ID
from survlstm.data.split import Split
from survlstm.utils.content import is_words
from survlstm.utils.errors import SourceError

_SPLITS = {TRAIN: Split.TRAIN, TUNING: Split.VAL, HELD_OUT: Split.TEST}
_INTEGER = ("whole numbers (int64)", is_integer)
_TEXT = ("texts", is_text)


def read_split(
    files: MedsFiles, ids: Int64[np.ndarray, " subject"]
) -> tuple[Int8[np.ndarray, " subject"] | None, list[str]]:
    """Read the split that the dataset assigns to its subjects.

    Args:
        files: Files of the dataset.
        ids: Ids of the subjects.

    Returns:
        ``Split`` of each subject, -1 where the dataset lists none or one of another name; None if it has no splits.
        Warnings that count the subjects with -1.

    Raises:
        SourceError: The file can't be read, or a subject is in several splits.
    """
    path = files.metadata(SPLITS_FILE)
    if path is None:
        return None, []
    table = _read(files, path, {SUBJECT: _INTEGER, SPLIT: _TEXT})
    listed = table.column(SUBJECT).cast(pa.int64()).fill_null(0).to_numpy()
    named = table.column(SUBJECT).is_valid().to_numpy()
    numbers = np.array([_SPLITS.get(name, -1) for name in table.column(SPLIT).to_pylist()], dtype=np.int8)
    listed, numbers = listed[named], numbers[named]
    pairs = np.unique(np.stack([listed, numbers.astype(np.int64)]), axis=1)[0]
    several = int(np.count_nonzero(np.unique(pairs, return_counts=True)[1] > 1))
    if several:
        raise SourceError(
            f"{files.shown(path)} must assign each subject to one split; {several:,} subjects are in several. Keep one "
            "row for each."
        )
    position, is_listed = _find(listed, ids)
    split = np.full(len(ids), -1, dtype=np.int8)
    split[is_listed] = numbers[position[is_listed]]
    unlisted, other = int(np.count_nonzero(~is_listed)), int(np.count_nonzero(is_listed & (split < 0)))
    warnings = []
    if unlisted:
        warnings.append(f"{unlisted:,} of {len(ids):,} subjects are not in {files.shown(path)}.")
    if other:
        warnings.append(
            f"{other:,} of {len(ids):,} subjects are in a split of {files.shown(path)} other than {TRAIN}, {TUNING} "
            f"and {HELD_OUT}."
        )
    return split, warnings


def read_names(files: MedsFiles, ids: Int64[np.ndarray, " subject"]) -> np.ndarray:
    """Return the names of subjects as texts: their ids, or those of the source from which the dataset was converted.

    Args:
        files: Files of the dataset.
        ids: Ids of the subjects.

    Returns:
        One text for each subject; no two are the same.

    Raises:
        SourceError: ``metadata/source_subjects.parquet`` can't be read, does not name every subject, or is not
            one-to-one.
    """
    path = files.metadata(SOURCE_SUBJECTS_FILE)
    if path is None:
        return ids.astype(np.str_)
    table = _read(files, path, {SUBJECT: _INTEGER, SOURCE_SUBJECT: _TEXT})
    listed = table.column(SUBJECT).cast(pa.int64())
    names = table.column(SOURCE_SUBJECT).cast(pa.large_string())
    distinct = {"subjects": listed.unique(), "ids of the source": names.unique()}
    if listed.null_count or names.null_count or any(len(values) < len(table) for values in distinct.values()):
        counts = ", ".join(f"{len(values):,} {what}" for what, values in distinct.items())
        raise SourceError(
            f"{files.shown(path)} must give each subject one id of the source and each id to one subject; found "
            f"{len(table):,} rows with {counts}. Convert the dataset again."
        )
    texts = names.to_pylist()
    unfit = sum(not 0 < len(text) <= LONGEST_ID or not text.isprintable() for text in texts)
    if unfit:
        raise SourceError(
            f"{files.shown(path)} must hold printable ids of at most {LONGEST_ID} characters as {SOURCE_SUBJECT}; "
            f"{unfit:,} of {len(texts):,} are not. Convert the dataset again."
        )
    position, is_listed = _find(listed.to_numpy(), ids)
    missing = int(np.count_nonzero(~is_listed))
    if missing:
        raise SourceError(
            f"{files.shown(path)} must name every subject of the dataset; {missing:,} of {len(ids):,} are missing. "
            "Convert the dataset again."
        )
    return np.array(texts, dtype=object)[position].astype(np.str_)


def read_code_descriptions(files: MedsFiles) -> dict[str, str]:
    """Return a text for each code.

    A text that is longer than 255 characters, a date, a number or a UUID is left out. Of several texts for a code the
    first is taken.

    Args:
        files: Files of the dataset.

    Returns:
        Description by code; empty without ``metadata/codes.parquet`` or its column of descriptions.

    Raises:
        SourceError: The file can't be read.
    """
    path = files.metadata(CODES_FILE)
    if path is None or DESCRIPTION not in read_schema(files, path).names:
        return {}
    table = _read(files, path, {CODE: _TEXT, DESCRIPTION: ("texts", _is_text_or_null)})
    found: dict[str, str] = {}
    for code, written in zip(table.column(CODE).to_pylist(), table.column(DESCRIPTION).to_pylist(), strict=True):
        text = (written or "").strip()
        if code and len(text) <= LONGEST and is_words(text):
            found.setdefault(code.strip(), text)
    return found


def read_descendants(files: MedsFiles, codes: Sequence[str]) -> frozenset[str]:
    """Return the codes and every code below one of them, by the column ``parent_codes``.

    Args:
        files: Files of the dataset.
        codes: The codes; they may be parents that have no row of their own.

    Raises:
        SourceError: The file can't be read, or the dataset has none or no column of parents.
    """
    parents = read_parents(files)
    if parents is None:
        raise SourceError(
            f"codes below others are found in metadata/{CODES_FILE}, column {PARENTS}; the dataset has none. Name the "
            "codes themselves."
        )
    children: defaultdict[str, list[str]] = defaultdict(list)
    for code, above in parents.items():
        for parent in above:
            children[parent].append(code)
    found = set(codes)
    waiting = list(codes)
    while waiting:
        # Each code is looked up once, so that a cycle ends.
        new = set(children.get(waiting.pop(), ())) - found
        found |= new
        waiting += new
    return frozenset(found)


def read_parents(files: MedsFiles) -> dict[str, list[str]] | None:
    """Return the codes directly above each code, by the column ``parent_codes``.

    Args:
        files: Files of the dataset.

    Returns:
        Parents by code, for the codes that have some; None if the dataset has no such file or column.

    Raises:
        SourceError: The file can't be read.
    """
    path = files.metadata(CODES_FILE)
    if path is None or PARENTS not in read_schema(files, path).names:
        return None
    table = _read(files, path, {CODE: _TEXT, PARENTS: ("lists of texts", _is_text_list)})
    parents: defaultdict[str, list[str]] = defaultdict(list)
    for code, above in zip(table.column(CODE).to_pylist(), table.column(PARENTS).to_pylist(), strict=True):
        if code and above:
            parents[code.strip()] += [parent.strip() for parent in above if parent]
    return dict(parents)


def _read(files: MedsFiles, path: Path, types: dict[str, tuple[str, Callable[[pa.DataType], bool]]]) -> pa.Table:
    check_columns(files, path, read_schema(files, path), types)
    with read_errors(files, path), pq.ParquetFile(path) as opened:
        table = opened.read(columns=list(types))
        # Texts of a parquet file may be no valid UTF-8, which would raise an error only where they are used.
        table.validate(full=True)
    return table


def _find(listed: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the position of each id in ``listed``, and whether it is there; without, the position means nothing."""
    if not len(listed):
        return np.zeros(len(ids), dtype=np.int64), np.zeros(len(ids), dtype=bool)
    order = np.argsort(listed, kind="stable")
    index = np.minimum(np.searchsorted(listed, ids, sorter=order), len(listed) - 1)
    return order[index], listed[order[index]] == ids


def _is_text_or_null(kind: pa.DataType) -> bool:
    return is_text(kind) or bool(pa.types.is_null(kind))


def _is_text_list(kind: pa.DataType) -> bool:
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    return bool(pa.types.is_null(kind)) or (is_list and _is_text_or_null(kind.value_type))
