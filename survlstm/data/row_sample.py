"""A random sample of prediction times, for fits and metrics whose cost must have a limit."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64

from survlstm.data.prediction_times import TRAINED
from survlstm.data.split import Split
from survlstm.data.tensors import Tensors


def sampled_rows(tensors: Tensors, part: Split, most: int) -> Int64[np.ndarray, " row"]:
    """Draw prediction times to train on of one split.

    Every row has the same chance, whatever subject it belongs to. With a fixed number of rows per subject, the chance
    of a row would depend on how long its subject survives, which would bias the metrics.

    Args:
        tensors: Data of all subjects, on the days clock.
        part: The split.
        most: Size of the sample.

    Returns:
        Indices of the rows, rising; all of them if there are no more than ``most``.
    """
    return at_most(tensors.rows_of(tensors.members(part), kind=TRAINED), most)


def at_most(rows: Int64[np.ndarray, " row"], most: int) -> Int64[np.ndarray, " chosen"]:
    """Draw some of the rows, each with the same chance.

    Args:
        rows: Indices of the rows.
        most: Size of the sample.

    Returns:
        The chosen ones, rising; ``rows`` itself if there are no more than ``most``.
    """
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(0).permutation(rows)[:most])
