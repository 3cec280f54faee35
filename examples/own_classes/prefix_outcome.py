"""An outcome of one's own: the first code that begins with one of some texts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from survlstm.data.events import Events
from survlstm.data.known_times import KnownTimes
from survlstm.data.outcomes.clinical import FirstCodeOutcome
from survlstm.data.outcomes.protocol import Labels, ObservedFollowUp
from survlstm.data.visits import Visits
from survlstm.utils.errors import OutcomeError


@dataclass(frozen=True)
class FirstCodeWithPrefix:
    """First occurrence of any code below a heading, such as all of ``ICD10CM/I21``.

    The codes are looked up in the records, and the shipped outcome does the rest: it leaves out what was known at the
    event or later, and labels the subjects.

    Attributes:
        prefixes: Beginnings of the codes.
    """

    prefixes: list[str]

    def observed(self, events: Events, times: KnownTimes) -> np.ndarray:
        return self._outcome(events.codes).observed(events, times)

    def follow_up(self, visits: Visits) -> ObservedFollowUp:
        return self._outcome(visits.codes).follow_up(visits)

    def label(self, visits: Visits, *, is_training: np.ndarray) -> Labels:
        outcome = self._outcome(visits.codes)
        # Only here: records to predict from have no outcome yet, and labels are not asked for.
        if not outcome.codes:
            raise OutcomeError(
                f"outcome.prefixes must begin a code of the records; none of {len(visits.codes)} codes begins with "
                f"{' or '.join(self.prefixes)}. Set other prefixes"
            )
        return outcome.label(visits, is_training=is_training)

    def _outcome(self, codes: np.ndarray) -> FirstCodeOutcome:
        return FirstCodeOutcome([str(code) for code in codes if str(code).startswith(tuple(self.prefixes))])
