"""Read a table of events by the rules of the source that a bundle's model was trained on."""

from __future__ import annotations

import pandas as pd

from survlstm.config.schema.data import MedsConfig, SourceConfig
from survlstm.config.schema.foreign import ForeignSourceConfig
from survlstm.config.schema.section import SwapPoint
from survlstm.data.sources.meds.names import encounter_column
from survlstm.inference.events_table import EventsTable, name_encounters, read_events_table


def read_events_as_trained(events: pd.DataFrame, source: SwapPoint) -> EventsTable:
    """Read a table of events with the columns of MEDS, see ``read_events_table``.

    Args:
        events: the table.
        source: section ``data.source`` of the bundle's config. It says to which zone times are converted, whether days
            and times are of one clock, and which column holds the encounters.

    Returns:
        The entries and the notes.

    Raises:
        SourceError: as for ``read_events_table``.
    """
    if isinstance(source, MedsConfig) and isinstance(events, pd.DataFrame):
        events = name_encounters(events, encounter_column(source.encounter_column, events.columns))
    if isinstance(source, SourceConfig | ForeignSourceConfig):
        return read_events_table(events, timezone=source.timezone)
    return read_events_table(events, day_tolerance=0)
