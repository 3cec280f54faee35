"""The result of the preparation: tensors, the state of the preprocessing, and counts of what was left out."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from survlstm.data.cohort import Exclusion
from survlstm.data.events import TableCount
from survlstm.data.prediction_times import TRAINED
from survlstm.data.preprocessing_state import PreprocessingState
from survlstm.data.targets import TargetRows
from survlstm.data.tensors import Tensors
from survlstm.data.values.counts import ValueCounts
from survlstm.data.vocabulary import Vocabulary


@dataclass(frozen=True)
class PredictionTimeCounts:
    """Counts of the prediction times of the days clock.

    Attributes:
        made: Number of rows that the rules and files gave.
        left_out: Number of rows left out, by reason.
        trained: Number of rows to train on, of all splits.
        evaluated: Number of rows that are only evaluated.
        per_subject: Median number of rows to train on of a subject.
        most_per_subject: Their largest number.
    """

    made: int
    left_out: dict[str, int]
    trained: int
    evaluated: int
    per_subject: float
    most_per_subject: int


def count_rows(rows: TargetRows) -> PredictionTimeCounts:
    """Count the rows of the days clock.

    Args:
        rows: The rows that take part, with the counts of the others.
    """
    is_trained = rows.kind == TRAINED
    per_subject = np.bincount(rows.subject[is_trained])
    return PredictionTimeCounts(
        made=len(rows.kind) + sum(rows.left_out.values()),
        left_out=dict(rows.left_out),
        trained=int(is_trained.sum()),
        evaluated=int((~is_trained).sum()),
        per_subject=float(np.median(per_subject)),
        most_per_subject=int(per_subject.max()),
    )


@dataclass(frozen=True)
class CohortFlow:
    """Counts of rows, entries, visits and subjects at each stage, for the log, the report and metrics.json.

    Subjects read and visits made equal those left out plus those used; so do entries read plus entries added.

    Of another cohort, the subjects that a run was trained or tuned on are left out last: ``values`` counts them too.

    Attributes:
        tables: Row counts of each table of the source.
        entries_read: Coded events read.
        entries_left_out: Events left out, by reason.
        entries_used: Events in the tensors.
        codes_unknown: Number of used ``entries`` whose code is [UNK] in the vocabulary, and of the distinct ``codes``
            of them.
        visits_made: Visits formed of the observed entries.
        visits_left_out: Visits left out, by reason.
        visits_used: Visits in the tensors.
        subjects_read: Subjects of the source.
        subjects_excluded: Subjects left out by each rule, in order.
        subjects_used: Subjects in the tensors.
        outcome_facts: Figures of the outcome, see ``Labels.facts``.
        warnings: Warnings of the source, the outcome, the clock, the static codes and the values.
        entries_added: Codes added to visits: the fused codes of values, and one entry for each static code of a subject
            at each of its visits.
        fused_added: Those of them that are fused codes.
        values: Counts of the values; None if values are not used.
        prediction_times: Counts of the prediction times; None on the other clocks.
        outcome_codes: Codes that a synthetic outcome was drawn from, see ``Labels.codes``.
    """

    tables: tuple[TableCount, ...]
    entries_read: int
    entries_left_out: dict[str, int]
    entries_used: int
    codes_unknown: dict[str, int]
    visits_made: int
    visits_left_out: dict[str, int]
    visits_used: int
    subjects_read: int
    subjects_excluded: tuple[Exclusion, ...]
    subjects_used: int
    outcome_facts: dict[str, float]
    warnings: tuple[str, ...]
    entries_added: int = 0
    fused_added: int = 0
    values: ValueCounts | None = None
    prediction_times: PredictionTimeCounts | None = None
    outcome_codes: dict[str, list[str]] = field(default_factory=dict)

    @property
    def static_added(self) -> int:
        """Number of added entries that are static codes."""
        return self.entries_added - self.fused_added


@dataclass(frozen=True)
class PreparedData:
    """Result of the preparation, from which training starts.

    Attributes:
        tensors: What a model may see, and its labels.
        preprocessing: Values fitted on the training subjects.
        flow: Counts of what was read, left out and used.
        fingerprint: Name in the cache: a hash of input files, settings and code; empty if not cached.
    """

    tensors: Tensors
    preprocessing: PreprocessingState
    flow: CohortFlow
    fingerprint: str

    def __repr__(self) -> str:
        tensors = self.tensors
        return (
            f"<PreparedData: {len(tensors.subject_id):,} subjects, {int(tensors.has_event.sum()):,} with the event, "
            f"{len(tensors.visit_time):,} visits, {tensors.clock} clock, {len(self.vocabulary):,} codes>"
        )

    @property
    def vocabulary(self) -> Vocabulary:
        """Vocabulary of the numbers in ``tensors.code``."""
        return self.preprocessing.vocabulary
