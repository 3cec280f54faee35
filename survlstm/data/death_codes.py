"""Codes that are entered only because a patient has died; they are never inputs of a model."""

from __future__ import annotations

import re

import numpy as np
from jaxtyping import Bool

from survlstm.data.sources.meds.names import DEATH, is_kind

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
# The last part of a MEDS code such as HOSPITAL_DISCHARGE//DIED. The whole part must be the word: "DIED OR TRANSFERRED"
# is not, nor is a diagnosis about the death of somebody else.
DEATH_WORDS = frozenset({"DIED", "EXPIRED", "DEAD", "DECEASED"})
# Diagnosis-related groups of patients who died, as in DRG//HCFA//283//ACUTE MYOCARDIAL INFARCTION, EXPIRED W MCC.
_DRG_OF_THE_DEAD = re.compile(r"DRG//.*\bEXPIRED\b.*", re.DOTALL)


def is_death_code(codes: np.ndarray) -> Bool[np.ndarray, " code"]:
    """Mark the codes that are entered only because a patient has died.

    These are the codes in ``DEATH_CODES``; ``MEDS_DEATH``, alone or with a suffix; codes with parts divided by ``//``
    whose last part is one of ``DEATH_WORDS``, in capitals or not; and codes whose first part is ``DRG`` and that hold
    the word EXPIRED.

    Args:
        codes: Codes with their coding system, such as ``SNOMED/308646001`` or ``HOSPITAL_DISCHARGE//DIED``.

    Returns:
        True for each of these codes, in the order of ``codes``.
    """
    return np.array([_is_death_code(code) for code in codes.astype(np.str_).tolist()], dtype=bool)


def _is_death_code(code: str) -> bool:
    if code in DEATH_CODES or is_kind(code, DEATH):
        return True
    _, divider, last = code.upper().rpartition("//")
    return bool(divider) and (last in DEATH_WORDS or _DRG_OF_THE_DEAD.fullmatch(code.upper()) is not None)
