"""Define the tables, columns and code systems of Synthea's CSV exports from 2019 to 2025."""

from __future__ import annotations

from typing import NamedTuple

from survlstm.data.sources.csv_header import Field

PATIENTS = "patients"
PATIENT_FIELDS = (
    Field("subject", ("Id", "ID")),
    Field("birth", ("BIRTHDATE",)),
    Field("death", ("DEATHDATE",)),
    Field("sex", ("GENDER",), required=False),
    Field("race", ("RACE",), required=False),
    Field("ethnicity", ("ETHNICITY",), required=False),
)
# Code systems of the static codes, by the field that they come from.
STATIC_SYSTEMS = {"sex": "SEX", "race": "RACE", "ethnicity": "ETHNICITY"}

# Scores of quality of life that the simulator writes as observations. They belong to no encounter and are dated to
# birthdays.
BOOK_KEEPING = frozenset({"QALY", "DALY", "QOLS"})

# A SNOMED identifier has 6 to 18 digits.
_SNOMED_DIGITS = 6

# Values of the column SYSTEM, in lower case.

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
CODE_SYSTEMS = tuple(sorted(set(_SYSTEMS.values())))

_PATIENT = Field("subject", ("PATIENT",))
_ENCOUNTER = Field("encounter", ("ENCOUNTER",))
_CODE = Field("code", ("CODE",))
# Procedures had DATE until 2020 and have START since then.
_TIME = Field("time", ("START", "DATE"))
_SYSTEM = Field("system", ("SYSTEM",), required=False)
_COMMON = (_TIME, _PATIENT, _ENCOUNTER, _CODE, _SYSTEM)
_VALUE = (
    Field("value", ("VALUE",)),
    Field("type", ("TYPE",), required=False),
    Field("unit", ("UNITS",), required=False),
)


class EventTable(NamedTuple):
    """A table of coded events.

    Attributes:
        name: Name of the table, which is that of its file without ``.csv``.
        system: Code system of its codes in rows that name none.
        fields: Its columns.
        short_system: Code system of codes that are too short for SNOMED, in rows that name none. Until 2024, allergies
            to drugs are RxNorm ingredients (7984, penicillin V) among SNOMED substances, all with SYSTEM "Unknown".
    """

    name: str
    system: str
    fields: tuple[Field, ...] = _COMMON
    short_system: str = ""

    def code_name(self, code: str, system: str) -> str:
        """Return the name of a code in the vocabulary, such as ``SNOMED/44054006``.

        Args:
            code: The code as the file has it.
            system: What ``code_system_name`` returned for it; "" if the row names none.

        Returns:
            Code system and code without spaces around it, joined by a slash.
        """
        if not system:
            system = (len(code.strip()) < _SNOMED_DIGITS and self.short_system) or self.system
        return f"{system}/{code.strip()}"


_TABLES = (
    EventTable("encounters", "SNOMED", (_TIME, _PATIENT, Field("encounter", ("Id", "ID")), _CODE, _SYSTEM)),
    EventTable("conditions", "SNOMED"),
    EventTable("medications", "RxNorm"),
    EventTable("procedures", "SNOMED"),
    EventTable("observations", "LOINC", (*_COMMON, *_VALUE)),
    EventTable("immunizations", "CVX"),
    EventTable("allergies", "SNOMED", short_system="RxNorm"),
    EventTable("careplans", "SNOMED"),
    EventTable("devices", "SNOMED"),
)
# imaging_studies is not read: procedures contain the same studies, and each of them once, not once per image.
EVENT_TABLES = {table.name: table for table in _TABLES}


def code_system_name(text: str) -> str | None:
    """Return the code system that a cell of SYSTEM names.

    Args:
        text: The cell, in upper or lower case; spaces around the text are ignored.

    Returns:
        One of ``CODE_SYSTEMS``; "" for an empty cell or "Unknown", None for any other text.

    Example:
        >>> code_system_name("http://snomed.info/sct")
        'SNOMED'
    """
    text = text.strip().lower()
    return "" if text in ("", "unknown") else _SYSTEMS.get(text)
