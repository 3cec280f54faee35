"""How the records of a prediction are read: the outcome, the settings and the prediction times of a bundle."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from survlstm.data.cohort_rules import with_codes
from survlstm.data.events import Subjects
from survlstm.data.factory import build_outcome, build_settings
from survlstm.data.outcomes.protocol import Outcome
from survlstm.data.preparation_settings import PreparationSettings
from survlstm.inference.bundle.bundle import Bundle
from survlstm.inference.dates import RecordEndDays
from survlstm.inference.prediction_time import AskedTimes, AsOf, is_table, parse_asked_times, parse_one_as_of
from survlstm.inference.static_notes import notes_on_missing
from survlstm.inference.subject_record import given_landmark


@dataclass(frozen=True)
class BundleRules:
    """The rules by which a bundle's model reads records, as in its training.

    Attributes:
        bundle: the model with its vocabulary, preprocessing, reference risks and evaluation.
    """

    bundle: Bundle

    def check_as_of(self, as_of: AsOf) -> None:
        """Raise ConfigError if ``as_of`` is invalid, or missing although a file gave the landmarks of the training."""
        given_landmark(self._settings, self.last_entry(as_of), 0)

    @property
    def is_on_days(self) -> bool:
        """Whether the model predicts at any time, in days from it: whether it is of the days clock."""
        return self.bundle.about.clock == "days"

    def asked_times(self, as_of: AsOf, *, per_visit: bool) -> AskedTimes:
        """Convert ``as_of`` to the prediction times of a model of the days clock, see ``parse_asked_times``.

        Args:
            as_of: see ``predict``.
            per_visit: see ``predict``.
        """
        return parse_asked_times(as_of, per_visit=per_visit, timezone=self._timezone)

    def last_entry(self, as_of: AsOf) -> np.datetime64 | None:
        """Return the time after which entries are ignored for every subject, datetime64[s]; None if there is none.

        Args:
            as_of: see ``predict``.

        Raises:
            ConfigError: ``as_of`` is invalid, or the clock of the model does not take it.
        """
        if self.is_on_days:
            return None if is_table(as_of) else self.asked_times(as_of, per_visit=False).until
        return parse_one_as_of(as_of, clock=self.bundle.about.clock, timezone=self._timezone)

    def notes_on_static(self, subjects: Subjects) -> tuple[str, ...]:
        """Count the subjects that lack static codes which the model reads, see ``notes_on_missing``.

        Args:
            subjects: the subjects of a table or an export, with their static codes.
        """
        return notes_on_missing(subjects, self._settings.demographics, self.bundle.preprocessing.vocabulary)

    @property
    def _timezone(self) -> str | None:
        return self.bundle.config.data.source.timezone

    def _notes_on_dates(self, ends: np.ndarray, as_of: AsOf) -> tuple[str, ...]:
        last_days = RecordEndDays()
        last_days.add(ends)
        return last_days.notes(as_of=self.last_entry(as_of), is_landmark=self.bundle.about.clock == "landmark")

    @cached_property
    def _outcome(self) -> Outcome:
        return build_outcome(self.bundle.config.outcome)

    @cached_property
    def _settings(self) -> PreparationSettings:
        settings = build_settings(self.bundle.config)
        # The rules apply as in training; the file and the sample chose subjects of the training itself.
        cohort = dataclasses.replace(settings.cohort, file=None, sample=None)
        return dataclasses.replace(settings, cohort=with_codes(cohort, self.bundle.preprocessing.descendants))

    @property
    def _reads_age(self) -> bool:
        return "age" in self.bundle.config.model.visit_features
