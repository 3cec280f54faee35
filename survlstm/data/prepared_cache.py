"""Cache of prepared data: fingerprints, and entries whose files are checked when they are loaded."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import shutil
import zipfile
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from survlstm.data.checksums import find_damage, write_checksums
from survlstm.data.cohort import Exclusion
from survlstm.data.events import TableCount
from survlstm.data.features import FEATURES
from survlstm.data.prepared_data import CohortFlow, PredictionTimeCounts, PreparedData
from survlstm.data.preprocessing_state import PreprocessingState
from survlstm.data.tensor_checks import check_consistent
from survlstm.data.tensors import Tensors
from survlstm.data.values.counts import ValueCounts
from survlstm.utils.errors import ConfigError, SourceError
from survlstm.utils.files import PRIVATE_FOLDER, atomic_folder, create_private
from survlstm.utils.stored_files import parse_fields, read_json

log = logging.getLogger(__name__)


def load_prepared(cache: Path, fingerprint: str) -> PreparedData | None:
    """Load prepared data by their fingerprint, without reading the source.

    Args:
        cache: Cache folder that was given to ``prepare``.
        fingerprint: ``PreparedData.fingerprint`` of the data.

    Returns:
        The prepared data, or None if they are not in the cache or can't be used; the log gives the reason for the
        latter.
    """
    return load_entry(cache / "prepared" / fingerprint, fingerprint)


def fingerprint_of(files: Iterable[Path], settings: dict[str, Any]) -> str:
    """Hash the settings, the input files, the code of the data stages and the versions of the libraries they use.

    Args:
        files: Input files; their order, names and contents count, the folder that they are in does not.
        settings: Settings as plain values.

    Returns:
        24 hexadecimal digits.

    Raises:
        SourceError: If a file can't be read.
    """
    package = Path(__file__).parents[1]
    code = sorted([*(package / "data").rglob("*.py"), package / "survival" / "concordance.py"])
    libraries = {name: version(name) for name in ("numpy", "pyarrow", "scipy")}
    digest = hashlib.sha256(json.dumps([settings, libraries], sort_keys=True, default=str).encode())
    try:
        for file in [*files, *code]:
            with file.open("rb") as stream:
                digest.update(f"\0{file.name}\0".encode() + hashlib.file_digest(stream, "sha256").digest())
    except OSError as error:
        raise SourceError(f"every file of the export must be readable; the system reports: {error}") from error
    return digest.hexdigest()[:24]


def store_prepared(prepared: PreparedData, entry: Path) -> None:
    """Write an entry of the cache, readable by its owner only; a damaged one in its place is removed first.

    An undamaged entry in its place is kept.

    Args:
        prepared: The prepared data.
        entry: Folder of the entry.

    Raises:
        ConfigError: If the cache can't be written.
    """
    about = {
        "fingerprint": prepared.fingerprint,
        "fitted": prepared.preprocessing.as_plain(),
        "flow": dataclasses.asdict(prepared.flow),
    }
    if entry.exists() and load_entry(entry, prepared.fingerprint) is None:
        shutil.rmtree(entry, ignore_errors=True)
    try:
        with atomic_folder(entry, keep_existing=True) as temporary:
            temporary.mkdir(mode=PRIVATE_FOLDER)
            for name in ("tensors.npz", "about.json"):
                create_private(temporary / name)
            np.savez(temporary / "tensors.npz", **dataclasses.asdict(prepared.tensors))
            (temporary / "about.json").write_text(json.dumps(about), encoding="utf-8")
            write_checksums(temporary)
    except OSError as error:
        raise ConfigError(
            f"prepared data must be stored in {entry.parent}; the system reports: {error}. Free space there or set "
            "cache_dir=DIR"
        ) from error


def load_entry(entry: Path, fingerprint: str) -> PreparedData | None:
    """Read and check an entry of the cache.

    Args:
        entry: Folder of the entry.
        fingerprint: Fingerprint that the entry must have.

    Returns:
        The prepared data; None if there is no entry or it can't be used, the latter with a warning in the log.
    """
    if not entry.is_dir():
        return None
    try:
        fault = find_damage(entry)
        if fault:
            raise ValueError(fault)
        with (entry / "tensors.npz").open("rb") as stream, np.load(stream) as arrays:
            # Entries of older versions lack the arrays that have a default.
            tensors = Tensors(
                **{
                    field.name: arrays[field.name]
                    for field in dataclasses.fields(Tensors)
                    if field.name in arrays or field.default is dataclasses.MISSING
                }
            )
        about = read_json(entry / "about.json")
        if about["fingerprint"] != fingerprint:
            raise ValueError("they were prepared from other files, settings or code")
        preprocessing = PreprocessingState.from_plain(about["fitted"])
        tensors = _with_all_features(tensors, stored=len(about["fitted"]["feature_mean"]))
        check_consistent(tensors, preprocessing)
        return PreparedData(tensors, preprocessing, _flow_of(about["flow"]), fingerprint)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, EOFError) as error:
        log.warning("the prepared data in %s can't be used (%s); they are prepared again", entry, error)
        return None


def _with_all_features(tensors: Tensors, *, stored: int) -> Tensors:
    """Return tensors with columns of zeros in place of the features that an entry of an earlier survlstm lacks.

    The stored state, which lacks their scale, gives zeros for other cohorts too, so that no baseline learns from them.

    Args:
        tensors: The stored tensors.
        stored: Number of features that they have.
    """
    missing = len(FEATURES) - stored
    if missing <= 0:
        return tensors
    log.info("The prepared data are those of an earlier survlstm, without %s", ", ".join(FEATURES[stored:]))
    features = np.insert(tensors.features, [stored] * missing, np.float32(0), axis=1)
    return dataclasses.replace(tensors, features=features)


def _flow_of(plain: dict[str, Any]) -> CohortFlow:
    """Check and convert the flow stored in ``about.json``."""
    parts: dict[str, Any] = {
        "tables": tuple(parse_fields(TableCount, table) for table in plain["tables"]),
        "subjects_excluded": tuple(
            parse_fields(Exclusion, dict(zip(Exclusion._fields, rule, strict=True)))
            for rule in plain["subjects_excluded"]
        ),
        "warnings": tuple(plain["warnings"]),
    }
    values = None if plain.get("values") is None else ValueCounts.from_plain(plain["values"])
    # Older versions added no entries and used no values.
    rows = plain.get("prediction_times")
    rows = None if rows is None else parse_fields(PredictionTimeCounts, rows)
    parts |= {"values": values, "prediction_times": rows}
    return parse_fields(CohortFlow, {"entries_added": 0, "fused_added": 0, "outcome_codes": {}, **plain, **parts})
