"""The tables and columns of Synthea's CSV exports, 2019 to 2025, and the code systems they are written in."""

from __future__ import annotations

from typing import NamedTuple

from survlstm.data.sources.csv_header import Field

PATIENTS = "patients"
PATIENT_FIELDS = (Field("subject", ("Id", "ID")), Field("birth", ("BIRTHDATE",)), Field("death", ("DEATHDATE",)))

# Scores that the simulator keeps of its people's lives, written as observations: no encounter, dated on birthdays.
BOOK_KEEPING = frozenset({"QALY", "DALY", "QOLS"})

# A SNOMED identifier has 6 to 18 digits.
_SNOMED_DIGITS = 6

_SYSTEMS = {
    "http://snomed.info/sct": "SNOMED",
    "snomed-ct": "SNOMED",
    "snomed": "SNOMED",
    "http://www.nlm.nih.gov/research/umls/rxnorm": "RxNorm",
    "rxnorm": "RxNorm",
    "http://loinc.org": "LOINC",
    "loinc": "LOINC",
    "http://hl7.org/fhir/sid/cvx": "CVX",
    "cvx": "CVX",
}

_PATIENT = Field("subject", ("PATIENT",))
_ENCOUNTER = Field("encounter", ("ENCOUNTER",))
_CODE = Field("code", ("CODE",))
# Procedures had DATE until 2020 and have START since; whichever name stands there is the time.
_TIME = Field("time", ("START", "DATE"))
_SYSTEM = Field("system", ("SYSTEM",), required=False)
_COMMON = (_TIME, _PATIENT, _ENCOUNTER, _CODE, _SYSTEM)


class EventTable(NamedTuple):
    """A table of coded events, and the systems of its codes where the file doesn't say.

    ``short_system`` is for codes too short to be SNOMED's: until 2024 allergies to drugs are RxNorm ingredients
    (7984, penicillin V) among SNOMED substances, all marked "Unknown".
    """

    name: str
    system: str
    fields: tuple[Field, ...] = _COMMON
    short_system: str = ""

    def code_name(self, code: str, system: str) -> str:
        """``SNOMED/44054006``; ``system`` is what ``code_system_name`` returned, "" where the file is silent."""
        if not system:
            system = (len(code.strip()) < _SNOMED_DIGITS and self.short_system) or self.system
        return f"{system}/{code.strip()}"


_TABLES = (
    EventTable("encounters", "SNOMED", (_TIME, _PATIENT, Field("encounter", ("Id", "ID")), _CODE, _SYSTEM)),
    EventTable("conditions", "SNOMED"),
    EventTable("medications", "RxNorm"),
    EventTable("procedures", "SNOMED"),
    EventTable(
        "observations", "LOINC", (*_COMMON, Field("value", ("VALUE",)), Field("type", ("TYPE",), required=False))
    ),
    EventTable("immunizations", "CVX"),
    EventTable("allergies", "SNOMED", short_system="RxNorm"),
    EventTable("careplans", "SNOMED"),
    EventTable("devices", "SNOMED"),
)
# imaging_studies isn't among them: procedures hold the same studies, once each rather than once per image.
EVENT_TABLES = {table.name: table for table in _TABLES}


def code_system_name(text: str) -> str | None:
    """The name that codes of this SYSTEM get; "" where the file is silent, None for a system unknown here."""
    text = text.strip().lower()
    return "" if text in ("", "unknown") else _SYSTEMS.get(text)
