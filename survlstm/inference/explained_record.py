"""Explain the prediction of one subject by occlusion of its codes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from survlstm.data.tensors import BuiltTensors, Tensors
from survlstm.data.vocabulary import UNK
from survlstm.explanation.occlusion import occlude
from survlstm.inference.bundle.bundle import Bundle
from survlstm.inference.row_records import RowRecords
from survlstm.inference.score_rows import build_scored
from survlstm.inference.score_subjects import check_finite, make_batches
from survlstm.utils.errors import ConfigError, SourceError


def explained_row(records: RowRecords, bundle: Bundle) -> tuple[BuiltTensors, str, np.ndarray]:
    """Make the tensors of the one prediction time that is explained, on the days clock.

    Args:
        records: the visits and the rows of one subject.
        bundle: the bundle of the model.

    Returns:
        The tensors, the reason why the row is not scored, "" if it is, and the end of the record.

    Raises:
        ConfigError: there is not one prediction time.
    """
    if len(records.subject) != 1:
        raise ConfigError(
            f"one prediction time of the subject is explained; as_of gives {len(records.subject)}. Set as_of to a day "
            "or a time, or leave it out for the last visit"
        )
    _, (reason,), built = build_scored(records, bundle)
    return built, str(reason), records.ends


def code_effects(tensors: Tensors, bundle: Bundle, *, most_readings: int | None) -> pd.DataFrame:
    """Compute the effects of the codes of a record, see ``Predictor.explain``.

    Args:
        tensors: the record of one subject.
        bundle: the bundle of the model.
        most_readings: largest accepted product of the numbers of visits and of distinct codes; None for no limit.

    Returns:
        One row per known code, the largest absolute effect first.

    Raises:
        SourceError: the record is longer than ``most_readings`` allows.
        BundleError: the model gives values that are not finite.
    """
    readings = len(tensors.visit_time) * len(np.unique(tensors.code))
    if most_readings is not None and readings > most_readings:
        raise SourceError(
            f"the record's visits times its codes must be at most {most_readings:,} to be explained here; found "
            f"{readings:,}. Send the latest years of the record only, or use survlstm explain"
        )
    occlusion = occlude(bundle.model, make_batches(tensors, bundle), 0)
    check_finite(occlusion.effect)
    codes = [bundle.preprocessing.vocabulary.entries[index] for index in occlusion.code]
    table = pd.DataFrame(
        {
            "code": codes,
            "description": [bundle.descriptions.get(code, "") for code in codes],
            "effect": occlusion.effect,
            "entries": occlusion.entries,
            "last_time": tensors.visit_time[occlusion.last_visit],
        }
    )
    return table[table["code"] != UNK].sort_values(
        "effect", key=lambda effect: -effect.abs(), kind="stable", ignore_index=True
    )
