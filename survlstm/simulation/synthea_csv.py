"""Writer of the tables of a simulated cohort in the CSV format of Synthea."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from survlstm.simulation import text
from survlstm.simulation.population import People
from survlstm.simulation.records import NO_STOP, LastingDiagnoses, TableRows
from survlstm.simulation.schedule import DIAGNOSIS_REASON, SECONDS_PER_DAY, PlannedVisits, visit_reasons
from survlstm.simulation.tables import diseases, encounter_kinds, panel_codes

# Columns of each table, as in Synthea's exporter of April 2024.
HEADERS = {
    "patients": "Id,BIRTHDATE,DEATHDATE,SSN,DRIVERS,PASSPORT,PREFIX,FIRST,LAST,SUFFIX,MAIDEN,MARITAL,RACE,ETHNICITY,"
    "GENDER,BIRTHPLACE,ADDRESS,CITY,STATE,COUNTY,FIPS,ZIP,LAT,LON,HEALTHCARE_EXPENSES,HEALTHCARE_COVERAGE,INCOME",
    "encounters": "Id,START,STOP,PATIENT,ORGANIZATION,PROVIDER,PAYER,ENCOUNTERCLASS,CODE,DESCRIPTION,"
    "BASE_ENCOUNTER_COST,TOTAL_CLAIM_COST,PAYER_COVERAGE,REASONCODE,REASONDESCRIPTION",
    "conditions": "START,STOP,PATIENT,ENCOUNTER,CODE,DESCRIPTION",
    "medications": "START,STOP,PATIENT,PAYER,ENCOUNTER,CODE,DESCRIPTION,BASE_COST,PAYER_COVERAGE,DISPENSES,TOTALCOST,"
    "REASONCODE,REASONDESCRIPTION",
    "procedures": "START,STOP,PATIENT,ENCOUNTER,CODE,DESCRIPTION,BASE_COST,REASONCODE,REASONDESCRIPTION",
    "observations": "DATE,PATIENT,ENCOUNTER,CATEGORY,CODE,DESCRIPTION,VALUE,UNITS,TYPE",
    "immunizations": "DATE,PATIENT,ENCOUNTER,CODE,DESCRIPTION,BASE_COST",
    "allergies": "START,STOP,PATIENT,ENCOUNTER,CODE,SYSTEM,DESCRIPTION,TYPE,CATEGORY,REACTION1,DESCRIPTION1,SEVERITY1,"
    "REACTION2,DESCRIPTION2,SEVERITY2",
    "careplans": "Id,START,STOP,PATIENT,ENCOUNTER,CODE,DESCRIPTION,REASONCODE,REASONDESCRIPTION",
    "devices": "START,STOP,PATIENT,ENCOUNTER,CODE,DESCRIPTION,UDI",
}
# Tables whose dates have no time of day.
DATED_BY_DAY = frozenset({"conditions", "allergies", "careplans"})
# Rows converted to text at once. It bounds the memory: a table of one chunk can have millions of rows.
ROWS_AT_ONCE = 400_000

Columns = dict[str, pa.Array]


@dataclass(frozen=True)
class ChunkText:
    """Text columns that the tables of a chunk share, formatted once.

    Attributes:
        patient: identifier of each person; length person.
        visit_patient: identifier of the person of each visit; length visit.
        encounter: identifier of each visit; length visit.
        start_time: start of each visit as a time; length visit.
        start_day: start of each visit as a date; length visit.
        reason: code of the reason of each visit, or missing; length visit.
        reason_description: description of that code, or missing; length visit.
        payers: identifiers to draw payers, organisations and providers from.
    """

    patient: pa.Array
    visit_patient: pa.Array
    encounter: pa.Array
    start_time: pa.Array
    start_day: pa.Array
    reason: pa.Array
    reason_description: pa.Array
    payers: pa.Array


def write_headers(folder: Path) -> None:
    """Create every table with its header.

    Args:
        folder: existing folder of the export.
    """
    for table, header in HEADERS.items():
        (folder / f"{table}.csv").write_text(header + "\n", encoding="utf-8")


def append(folder: Path, table: str, columns: Columns, count: int) -> None:
    """Append rows to a table.

    Args:
        folder: folder of the export.
        table: name of the table, without ``.csv``.
        columns: columns by name, each of ``count`` values. A column of the header that is missing stays blank; a column
            that the header does not have is ignored.
        count: number of rows.
    """
    names = HEADERS[table].split(",")
    empty = pa.nulls(count, pa.string())
    chunk = pa.table({name: columns.get(name, empty) for name in names})
    options = pa_csv.WriteOptions(include_header=False, quoting_style="needed")
    with (folder / f"{table}.csv").open("ab") as file:
        pa_csv.write_csv(chunk, file, options)


def chunk_text(rng: np.random.Generator, people: People, visits: PlannedVisits, payers: pa.Array) -> ChunkText:
    """Draw the identifiers of a chunk and format the columns that its tables share.

    Args:
        rng: random generator of the chunk.
        people: the people of the chunk.
        visits: their visits.
        payers: identifiers to draw payers, organisations and providers from; the same in all chunks.

    Returns:
        The shared columns.
    """
    patient = text.uuids(rng, len(people))
    names = _reason_descriptions()
    codes = ["" if code == DIAGNOSIS_REASON else code for code in visit_reasons()]
    return ChunkText(
        patient=patient,
        visit_patient=patient.take(pa.array(visits.person)),
        encounter=text.uuids(rng, len(visits)),
        start_time=text.times(visits.time),
        start_day=text.days(visits.time // SECONDS_PER_DAY),
        reason=pa.array([code or None for code in codes]).take(pa.array(visits.reason)),
        reason_description=pa.array([names.get(code) for code in codes], pa.string()).take(pa.array(visits.reason)),
        payers=payers,
    )


def _reason_descriptions() -> dict[str, str]:
    """Return the descriptions of the codes that the tables of panels and diseases contain."""
    names = {panel.code: panel.description for panel in panel_codes()}
    return names | {disease.code: disease.description for disease in diseases()}


def append_encounters(rng: np.random.Generator, folder: Path, visits: PlannedVisits, shared: ChunkText) -> None:
    """Append one row per visit to the table of encounters.

    Args:
        rng: random generator of the chunk; it draws costs, payers, organisations and providers.
        folder: folder of the export.
        visits: the visits of the chunk.
        shared: shared columns of the chunk.
    """
    kinds = encounter_kinds()
    kind = pa.array(visits.kind)
    minutes = np.array([row.minutes for row in kinds])[visits.kind]
    cost = _amounts(rng, len(visits), 140.0)
    columns = {
        "Id": shared.encounter,
        "START": shared.start_time,
        "STOP": text.times(visits.time + 60 * minutes),
        "PATIENT": shared.visit_patient,
        "ORGANIZATION": _any_of(rng, shared.payers, len(visits)),
        "PROVIDER": _any_of(rng, shared.payers, len(visits)),
        "PAYER": _any_of(rng, shared.payers, len(visits)),
        "ENCOUNTERCLASS": pa.array([row.encounter_class for row in kinds]).take(kind),
        "CODE": pa.array([row.code for row in kinds]).take(kind),
        "DESCRIPTION": pa.array([row.description for row in kinds]).take(kind),
        "BASE_ENCOUNTER_COST": cost,
        "TOTAL_CLAIM_COST": cost,
        "PAYER_COVERAGE": cost,
        "REASONCODE": shared.reason,
        "REASONDESCRIPTION": shared.reason_description,
    }
    append(folder, "encounters", columns, len(visits))


def append_problems(folder: Path, problems: LastingDiagnoses, shared: ChunkText) -> None:
    """Append the diagnoses of lasting diseases to the table of conditions.

    Args:
        folder: folder of the export.
        problems: the diagnoses of the chunk.
        shared: shared columns of the chunk.
    """
    visit, disease = pa.array(problems.visit), pa.array(problems.disease)
    columns = {
        "START": shared.start_day.take(visit),
        "STOP": _stop_text("conditions", problems.stop),
        "PATIENT": shared.visit_patient.take(visit),
        "ENCOUNTER": shared.encounter.take(visit),
        "CODE": pa.array([row.code for row in diseases()]).take(disease),
        "DESCRIPTION": pa.array([row.description for row in diseases()]).take(disease),
    }
    append(folder, "conditions", columns, len(problems.visit))


def append_rows(rng: np.random.Generator, folder: Path, table: str, rows: TableRows, shared: ChunkText) -> None:
    """Append the rows of one event table, at most ``ROWS_AT_ONCE`` at a time.

    Args:
        rng: random generator of the chunk; it draws costs, payers and identifiers.
        folder: folder of the export.
        table: name of the table, without ``.csv``.
        rows: the rows of the chunk.
        shared: shared columns of the chunk.
    """
    for first in range(0, len(rows.visit), ROWS_AT_ONCE):
        part = slice(first, first + ROWS_AT_ONCE)
        piece = TableRows(rows.visit[part], rows.code[part], rows.stop[part], rows.value[part], rows.choice[part])
        columns = _event_columns(rng, table, piece, shared)
        append(folder, table, columns, len(piece.visit))


def _event_columns(rng: np.random.Generator, table: str, rows: TableRows, shared: ChunkText) -> Columns:
    visit, code, count = pa.array(rows.visit), pa.array(rows.code), len(rows.visit)
    panels = panel_codes()
    start = (shared.start_day if table in DATED_BY_DAY else shared.start_time).take(visit)
    columns: Columns = {
        "START": start,
        "DATE": start,
        "PATIENT": shared.visit_patient.take(visit),
        "ENCOUNTER": shared.encounter.take(visit),
        "CODE": pa.array([panel.code for panel in panels]).take(code),
        "DESCRIPTION": pa.array([panel.description for panel in panels]).take(code),
    }
    if table == "observations":
        columns["VALUE"] = _value_text(rows)
        columns["UNITS"] = pa.array([panel.units or None for panel in panels]).take(code)
    if table in ("observations", "allergies"):
        columns["CATEGORY"] = pa.array([panel.category for panel in panels]).take(code)
        columns["TYPE"] = pa.array([panel.value_type for panel in panels]).take(code)
    if "STOP" in HEADERS[table]:
        columns["STOP"] = _stop_text(table, rows.stop)
    if "REASONCODE" in HEADERS[table]:
        columns["REASONCODE"] = shared.reason.take(visit)
        columns["REASONDESCRIPTION"] = shared.reason_description.take(visit)
    if "COST" in HEADERS[table]:
        columns["BASE_COST"] = columns["TOTALCOST"] = _amounts(rng, count, 250.0)
    if table == "careplans":
        columns["Id"] = text.uuids(rng, count)
    if table == "allergies":
        columns["SYSTEM"] = pa.repeat("SNOMED-CT", count)
    if table == "medications":
        columns["PAYER"] = _any_of(rng, shared.payers, count)
        columns["DISPENSES"] = pa.repeat("1", count)
    return columns


def _stop_text(table: str, stop: np.ndarray) -> pa.Array:
    lasting = stop == NO_STOP
    known = np.where(lasting, 0, stop)
    column = text.days(known // SECONDS_PER_DAY) if table in DATED_BY_DAY else text.times(known)
    return text.blank_where(lasting, column)


def _value_text(rows: TableRows) -> pa.Array:
    """Format numeric values, and look up the text of the others among the choices of their code."""
    panels = panel_codes()
    widest = max(1, *(len(panel.choices) for panel in panels))
    choices = [choice for panel in panels for choice in (*panel.choices, *[""] * (widest - len(panel.choices)))]
    texts = pa.array(choices).take(pa.array(rows.code.astype(np.int64) * widest + rows.choice))
    numeric = ~np.isnan(rows.value)
    numbers = pa.array(np.round(np.where(numeric, rows.value, 0).astype(np.float64), 2)).cast(pa.string())
    return text.where(numeric, numbers, texts)


def _amounts(rng: np.random.Generator, count: int, typical: float) -> pa.Array:
    """Draw costs from a short list of amounts; they only fill the columns."""
    prices = pa.array([f"{typical * factor:.2f}" for factor in np.geomspace(0.3, 5, 64)])
    return _any_of(rng, prices, count)


def _any_of(rng: np.random.Generator, options: pa.Array, count: int) -> pa.Array:
    return options.take(pa.array(rng.integers(0, len(options), size=count, dtype=np.int32)))
