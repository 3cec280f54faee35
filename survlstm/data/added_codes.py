"""Codes that are added to visits after the entries of the record, such as static codes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Int, Int32

from survlstm.data.visits import Visits, offsets_from_sizes
from survlstm.utils.ragged import flat_positions


def append_codes(
    visits: Visits, names: np.ndarray, code: Int[np.ndarray, " added"], *, per_visit: Int[np.ndarray, " visit"]
) -> Visits:
    """Append codes to visits, after the entries that each visit has. They have no value.

    Args:
        visits: Visits of some subjects.
        names: Distinct codes as texts, [name].
        code: Index into ``names`` of each added code, visit after visit.
        per_visit: Number of codes added to each visit.

    Returns:
        The visits with these codes; ``visits`` itself if there is none.
    """
    if not len(code):
        return visits
    codes, number = np.unique(
        np.concatenate([visits.codes.astype(np.str_), names.astype(np.str_)]), return_inverse=True
    )
    of_visits, of_added = (part.astype(np.int32) for part in np.split(number, [len(visits.codes)]))
    entries = visits.codes_per_visit
    offsets = offsets_from_sizes(entries + per_visit)
    old = flat_positions(offsets[:-1], entries)
    new = flat_positions(offsets[:-1] + entries, per_visit)
    joined: Int32[np.ndarray, " code"] = np.empty(offsets[-1], dtype=np.int32)
    joined[old], joined[new] = of_visits[visits.code], of_added[code]
    value = np.full(offsets[-1], np.nan, dtype=np.float32)
    unit = np.zeros(offsets[-1], dtype=np.int32)
    fault = np.zeros(offsets[-1], dtype=np.int8)
    value[old], unit[old], fault[old] = visits.value, visits.unit, visits.value_fault
    return replace(visits, codes=codes, code_offsets=offsets, code=joined, value=value, unit=unit, value_fault=fault)
