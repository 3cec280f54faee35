"""Compare the entries of an export with the encounters that they name."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import pyarrow.compute as pc

from survlstm.data.events import Events
from survlstm.data.known_times import FURTHER, UNTIED, known_times
from survlstm.data.sources.synthea_rows import CodedRows

log = logging.getLogger(__name__)

ENCOUNTERS = "encounters"
# Below these shares an export is taken for sound, and the counts are logged without a warning. A visit that begins late
# in the evening has diagnoses of the next day, which is 0.1 to 3.5 % of the entries in exports written in UTC.
TOLERATED_UNMATCHED = 0.01
TOLERATED_DISAGREEMENT = 0.05


def unmatched_encounters(tables: Sequence[CodedRows]) -> list[str]:
    """Count the rows that name an encounter which the table of encounters lacks.

    Returns:
        A warning for each table in which they are more than ``TOLERATED_UNMATCHED`` of its rows; none where the table
        of encounters was not read.
    """
    known = next((table.encounter_names for table in tables if table.count.table == ENCOUNTERS), None)
    if known is None:
        return []
    warnings = []
    for table in tables:
        if table.count.table == ENCOUNTERS or not len(table.encounter):
            continue
        is_unmatched = pc.and_(
            pc.invert(pc.is_in(table.encounter_names, value_set=known)), pc.not_equal(table.encounter_names, "")
        )
        rows = int(is_unmatched.to_numpy(zero_copy_only=False)[table.encounter].sum())
        share = rows / len(table.encounter)
        sentence = (
            f"{table.count.table}: {rows} of {len(table.encounter)} rows ({share:.1%}) name an encounter that is not "
            "in the table of encounters"
        )
        if share > TOLERATED_UNMATCHED:
            warnings.append(f"{sentence}: the export is incomplete, and its visits lack entries. Export it again")
        elif rows:
            log.info("%s", sentence)
    return warnings


def shared_encounters(shared: int) -> list[str]:
    """Say that encounters were named by several patients."""
    if not shared:
        return []
    return [
        f"{shared} encounter ids are used by more than one patient; each patient's entries are read as an encounter of "
        "their own."
    ]


def day_disagreements(events: Events, *, timezone: str | None) -> list[str]:
    """Compare the days of dated entries with the timed entries of their encounters.

    Returns:
        A warning where more than ``TOLERATED_DISAGREEMENT`` of the entries are dated a day later or a day earlier.
    """
    off = known_times(events).days_off
    compared, later, earlier, further = (
        int(np.sum(found)) for found in (off < UNTIED, off == 1, off == -1, off == FURTHER)
    )
    if not compared:
        return []
    sentence = (
        f"Of {compared} entries dated to the day, {later} are dated a day after the timed entries of their encounter, "
        f"{earlier} a day before and {further} further away"
    )
    if later + earlier <= TOLERATED_DISAGREEMENT * compared:
        log.info("%s", sentence)
        return []
    if timezone is not None:
        return [
            f"{sentence}: data.source.timezone={timezone} does not look like the zone of the export. Set the zone in "
            "which Synthea ran."
        ]
    side = "east" if later > earlier else "west"
    return [
        f"{sentence}: days look local, {side} of Greenwich, while times are in UTC. These entries were given the time "
        "of their encounter. To read all times as local ones, set data.source.timezone to the zone of the export, an "
        "IANA name such as Australia/Melbourne."
    ]
