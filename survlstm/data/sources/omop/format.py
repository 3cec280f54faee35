"""Define the tables and columns of the OMOP common data model that are read; CDM 5.3 and 5.4 agree in them."""

from __future__ import annotations

from typing import NamedTuple

PERSON, PERIODS, DEATH = "person", "observation_period", "death"
VISITS, CONCEPT, ANCESTOR = "visit_occurrence", "concept", "concept_ancestor"
PERSON_ID = "person_id"
PERSON_COLUMNS = (
    PERSON_ID,
    "birth_datetime",
    "year_of_birth",
    "month_of_birth",
    "day_of_birth",
    "gender_concept_id",
    "gender_source_value",
    "race_concept_id",
    "race_source_value",
    "ethnicity_concept_id",
    "ethnicity_source_value",
)
PERIOD_COLUMNS = (PERSON_ID, "observation_period_start_date", "observation_period_end_date")
DEATH_COLUMNS = (PERSON_ID, "death_date", "death_datetime")
CONCEPT_COLUMNS = ("concept_id", "vocabulary_id", "concept_code", "concept_name")
ANCESTOR_COLUMNS = ("ancestor_concept_id", "descendant_concept_id")


class EventTable(NamedTuple):
    """A table whose rows are coded events.

    Attributes:
        name: Name of the table.
        concept: Column of the standard concept.
        source_value: Column of the code or text that the concept was mapped from.
        date: Column of the day.
        moment: Column of the day and the time of day.
        number: Column of a numeric value; "" if there is none.
        source_system: Coding system of a code that is made from a source value.
        unit: Column of the concept of the value's unit; a table without a numeric value has none.
        unit_source: Column of the text that the unit was mapped from.
    """

    name: str
    concept: str
    source_value: str
    date: str
    moment: str
    number: str
    source_system: str
    unit: str = "unit_concept_id"
    unit_source: str = "unit_source_value"

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that are read, as far as the table has them."""
        own = (PERSON_ID, self.concept, self.source_value, self.date, self.moment, "visit_occurrence_id")
        return (*own, self.number, self.unit, self.unit_source) if self.number else own


def _table(name: str, stem: str, time: str, *, source: str, number: str = "") -> EventTable:
    return EventTable(
        name,
        f"{stem}_concept_id",
        f"{stem}_source_value",
        f"{time}_date",
        f"{time}_datetime",
        number,
        f"OMOP_SOURCE_{source}",
    )


EVENT_TABLES = {
    table.name: table
    for table in (
        _table(VISITS, "visit", "visit_start", source="VISIT"),
        _table("visit_detail", "visit_detail", "visit_detail_start", source="VISIT_DETAIL"),
        _table("condition_occurrence", "condition", "condition_start", source="CONDITION"),
        _table("drug_exposure", "drug", "drug_exposure_start", source="DRUG"),
        _table("procedure_occurrence", "procedure", "procedure", source="PROCEDURE"),
        _table("measurement", "measurement", "measurement", source="MEASUREMENT", number="value_as_number"),
        _table("observation", "observation", "observation", source="OBSERVATION", number="value_as_number"),
        _table("device_exposure", "device", "device_exposure_start", source="DEVICE"),
    )
}
KNOWN_TABLES = (PERSON, PERIODS, DEATH, *EVENT_TABLES, CONCEPT, ANCESTOR)

# Codes of the standard concepts of a person, for records whose concept table lacks them.
PERSON_CONCEPTS = {
    8507: "Gender/M",
    8532: "Gender/F",
    8521: "Gender/O",
    8551: "Gender/U",
    8657: "Race/1",
    8515: "Race/2",
    8516: "Race/3",
    8557: "Race/4",
    8527: "Race/5",
    38003563: "Ethnicity/Hispanic",
    38003564: "Ethnicity/Not Hispanic",
}
