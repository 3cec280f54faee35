"""Codes that are entered only because a patient has died; they are never inputs of a model."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

# Synthea writes the first two for every death, some days before or after DEATHDATE.
DEATH_CODES = frozenset(
    {
        "SNOMED/308646001",  # death certification
        "LOINC/69453-9",  # cause of death, US standard certificate of death
        "SNOMED/876882001",  # died in hospice
        "SNOMED/397709008",  # patient died; in Synthea, death due to uncovered and unreceived treatment
        "SNOMED/371828006",  # patient deceased during stay
        "SNOMED/419099009",  # dead
        "SNOMED/63238001",  # dead on arrival at hospital
        "SNOMED/95281009",  # sudden cardiac death
        "SNOMED/9855000",  # natural death with unknown cause
        "LOINC/69409-1",  # US standard certificate of death
        "LOINC/69449-7",  # manner of death
        "LOINC/79378-6",  # cause of death
        "LOINC/80616-6",  # date and time pronounced dead
        "LOINC/81956-5",  # date and time of death
    }
)


def is_death_code(codes: np.ndarray) -> Bool[np.ndarray, " code"]:
    """Mark the codes that are entered only because a patient has died.

    Args:
        codes: Codes with their coding system, such as ``SNOMED/308646001``.

    Returns:
        True for each code in ``DEATH_CODES``, in the order of ``codes``.
    """
    return np.isin(codes.astype(np.str_), sorted(DEATH_CODES))
