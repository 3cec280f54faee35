"""Check the entries of an export against the encounters that they name."""

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
# Up to these shares of the entries the counts are logged without a warning. A visit that begins late in the evening has
# diagnoses that are dated to the next day: 0.1 to 3.5 % of the entries in exports whose days are days in UTC.
TOLERATED_UNMATCHED = 0.01
TOLERATED_DISAGREEMENT = 0.05


def unmatched_encounters(tables: Sequence[CodedRows]) -> list[str]:
    """Count the rows that name an encounter which is not in the table of encounters.

    Args:
        tables: The used rows of every event table that was read.

    Returns:
        One warning for each table in which these rows are more than ``TOLERATED_UNMATCHED`` of the used rows. Smaller
        numbers are logged. Empty if the table of encounters was not read.
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
            warnings.append(
                f"{sentence}. The export is incomplete: these encounters are missing, and their visits lack entries. "
                "Export it again."
            )
        elif rows:
            log.info("%s", sentence)
    return warnings


def shared_encounters(shared: int) -> list[str]:
    """Return a warning if several patients use the same encounter id.

    Args:
        shared: Number of encounter ids that several patients use.

    Returns:
        One warning; empty if ``shared`` is 0.
    """
    if not shared:
        return []
    return [
        f"{shared} encounter ids are used by more than one patient. The entries of each patient were read as a "
        "separate encounter; check the column ENCOUNTER if that is not intended."
    ]


def day_disagreements(events: Events, *, timezone: str | None) -> list[str]:
    """Compare the days of entries that have a date only with the timed entries of their encounters.

    Days that are often one later or one earlier show that days are local and times are in UTC.

    Args:
        events: The events of the export.
        timezone: IANA name of the zone to which times were converted; None if they were left in UTC.

    Returns:
        A warning if more than ``TOLERATED_DISAGREEMENT`` of the compared entries are dated one day later or one day
        earlier. Smaller numbers are logged. Empty if no entry can be compared.
    """
    off = known_times(events).days_off
    compared, later, earlier, further = (
        int(np.sum(mask)) for mask in (off < UNTIED, off == 1, off == -1, off == FURTHER)
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
            f"{sentence}: data.source.timezone={timezone} does not look like the zone of the export. Set it to the "
            "zone in which Synthea ran."
        ]
    side = "east" if later > earlier else "west"
    return [
        f"{sentence}: days look like days of a time zone {side} of Greenwich, while times are in UTC. These entries "
        "were given the time of their encounter. To convert all times to local time, set data.source.timezone to the "
        "zone in which Synthea ran, an IANA name such as Australia/Melbourne."
    ]
