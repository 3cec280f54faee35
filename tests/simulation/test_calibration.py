"""The simulated cohort agrees with a real one: every statistic is within a factor of two."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from survlstm.simulation import simulate_cohort
from survlstm.simulation.cohort_statistics import cohort_statistics
from survlstm.utils.errors import SourceError

# Measured with cohort_statistics on a Synthea export of April 2024: Massachusetts, 1,123 patients (950 living), ten
# years of history. Five of them had a stroke: the figure for it is that of an export of 9,971 patients.
REAL = {
    "dead, %": 15.41,
    "adults, %": 81.83,
    "women, %": 47.55,
    "age of the living, median": 36.29,
    "age at death, median": 57.9,
    "visits per patient, 25 %": 20,
    "visits per patient, median": 31,
    "visits per patient, 75 %": 55,
    "visits per patient, 90 %": 105.8,
    "visits per patient, 95 %": 384.4,
    "visits per patient, most": 787,
    "codes per visit, mean": 19.3,
    "QALY, DALY, QOLS, % of observations": 2.235,
    "encounters, rows per patient": 68,
    "conditions, rows per patient": 35.81,
    "medications, rows per patient": 65.89,
    "procedures, rows per patient": 134,
    "observations, rows per patient": 988.6,
    "immunizations, rows per patient": 14.34,
    "allergies, rows per patient": 0.9671,
    "careplans, rows per patient": 3.354,
    "devices, rows per patient": 1.612,
    "encounters, distinct codes": 54,
    "conditions, distinct codes": 236,
    "medications, distinct codes": 242,
    "procedures, distinct codes": 292,
    "observations, distinct codes": 257,
    "immunizations, distinct codes": 21,
    "allergies, distinct codes": 21,
    "careplans, distinct codes": 37,
    "devices, distinct codes": 25,
    "obesity, %": 45.68,
    "prediabetes, %": 36.51,
    "diabetes type 2, %": 7.213,
    "hypertension, %": 36.06,
    "anemia, %": 35.08,
    "hyperlipidemia, %": 8.459,
    "CKD stage 1, %": 14.34,
    "CKD stage 2, %": 13.27,
    "CKD stage 3, %": 8.638,
    "CKD stage 4, %": 6.055,
    "end-stage renal disease, %": 3.473,
    "ischaemic heart disease, %": 17.54,
    "heart failure, %": 2.493,
    "myocardial infarction, %": 2.404,
    "stroke, %": 1,
    "chronic pain, %": 23.24,
    "osteoporosis, %": 4.63,
    "Alzheimer's disease, %": 2.493,
}


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    folder = tmp_path_factory.mktemp("calibration") / "cohort"
    last_day = datetime.date(2024, 4, 30)
    simulate_cohort(folder, patients=1123, seed=0, history_years=10.0, end_date=last_day)
    return cohort_statistics(folder)


@pytest.mark.parametrize("figure", REAL)
def test_every_figure_is_within_a_factor_of_two(simulated: dict[str, float], figure: str) -> None:
    assert REAL[figure] / 2 <= simulated[figure] <= REAL[figure] * 2


def test_a_folder_without_tables_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"must hold patients\.csv or patients\.csv\.gz; found neither"):
        cohort_statistics(tmp_path)
