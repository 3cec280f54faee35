"""Which codes are entered only because a patient has died."""

import numpy as np
import pytest

from survlstm.data.death_codes import is_death_code
from survlstm.data.outcomes.clinical import FirstCodeOutcome
from survlstm.data.prepare import prepare_uncached
from survlstm.utils.errors import OutcomeError
from tests.records import SETTINGS, RecordsSource, events_of, random_records

OF_DEATH = [
    "SNOMED/308646001",
    "LOINC/69453-9",
    "MEDS_DEATH",
    "MEDS_DEATH//HOSPITAL",
    "HOSPITAL_DISCHARGE//DIED",
    "HOSPITAL_DISCHARGE//Expired",
    "ED_OUT//DECEASED",
    "UNIT//DISCHARGE//DEAD",
    "DRG//HCFA//283//ACUTE MYOCARDIAL INFARCTION, EXPIRED W MCC",
    "DRG//HCFA//123//CIRCULATORY DISORDERS W AMI, EXPIRED",
]
OF_THE_LIVING = [
    "MEDS_BIRTH",
    "MEDS_DEATHBED",
    "DIED",
    "DIAGNOSIS//ICD//9//V2341",
    "DIAGNOSIS//HISTORY OF FETAL DEATH",
    "DIAGNOSIS//FATHER DIED",
    "DRG//HCFA//789//NEONATES, DIED OR TRANSFERRED TO ANOTHER ACUTE CARE FACILITY",
    "DRG//APR//1//UNEXPIRED",
    "LAB//EXPIRED AIR VOLUME",
    "LAB//51//mL//EXPIRED VOLUME",
    "HOSPITAL_DISCHARGE//HOSPICE",
    "HOSPITAL_DISCHARGE//DIED//LATER",
    "SNOMED/3086460010",
    "",
]


@pytest.mark.parametrize("dtype", [np.str_, object])
def test_each_code_and_no_other(dtype):
    codes = np.array([*OF_DEATH, *OF_THE_LIVING], dtype=dtype)
    assert is_death_code(codes).tolist() == [True] * len(OF_DEATH) + [False] * len(OF_THE_LIVING)
    assert is_death_code(codes[:0]).shape == (0,)


def test_the_codes_of_mimic(mimic):
    import pyarrow.parquet as pq

    codes = np.array(pq.read_table(mimic / "metadata" / "codes.parquet")["code"].to_pylist())
    assert codes[is_death_code(codes)].tolist() == [
        "DRG//HCFA//283//ACUTE MYOCARDIAL INFARCTION, EXPIRED W MCC",
        "HOSPITAL_DISCHARGE//DIED",
        "MEDS_DEATH",
    ]


@pytest.mark.parametrize("code", ["HOSPITAL_DISCHARGE//DIED", "MEDS_DEATH"])
def test_an_outcome_of_such_a_code_is_refused(code):
    outcome = FirstCodeOutcome(["X/7", code])
    with pytest.raises(OutcomeError, match=rf"only because a patient has died, .*; found {code}. Set outcome=death"):
        prepare_uncached(RecordsSource(events_of(random_records(40, seed=1))), outcome, SETTINGS)
