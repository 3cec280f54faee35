"""Ragged arrays of what a model may see and its labels; what comes after the prediction time is not stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int8, Int32, Int64

from survlstm.data.code_groups import CodeGroup, FittedGroups, group_features
from survlstm.data.demographics import (
    KINDS,
    DemographicSettings,
    append_static_codes,
    completed_years,
    find_groups,
    first_visit_or,
    input_codes,
    several_codes_warnings,
)
from survlstm.data.features import column_scale, standardise, visit_features
from survlstm.data.prediction_times import TRAINED
from survlstm.data.preprocessing_state import PreprocessingState
from survlstm.data.row_arrays import (
    are_first_visits,
    first_times,
    row_arrays,
    visits_before_training_rows,
    with_row_scale,
)
from survlstm.data.split import Split
from survlstm.data.targets import Targets
from survlstm.data.values.counts import ValueCounts
from survlstm.data.values.fit import fit_values
from survlstm.data.values.settings import ValueSettings
from survlstm.data.values.valued_visits import use_values
from survlstm.data.visits import Visits, cut_visits, offsets_from_sizes, take_entries
from survlstm.data.vocabulary import UNK, fit_vocabulary
from survlstm.utils.ragged import flat_positions


@dataclass(frozen=True)
class Tensors:
    """Everything that a model may see, and its labels, with subjects in the order of their ids.

    Subject ``s`` has the visits from ``visit_offsets[s]`` to ``visit_offsets[s+1]``: the first ones of its record, on
    the visit clock visits 0 to ``step``, on the landmark clock those up to the landmark, on the days clock those up to
    its latest prediction time. Visit ``v`` has the codes from ``code_offsets[v]`` to ``code_offsets[v+1]``.

    A *row* has a label. On the days clock it is a subject at a prediction time; on the other clocks it is a subject,
    with the same index.

    Attributes:
        subject_id: Identifiers as texts, [subject].
        split: ``Split`` of each subject.
        step: Last step at risk of each row, see ``survlstm.survival.steps``; on the days clock -1 for a row censored
            within the first interval.
        event: Whether the event happened in that step.
        duration_days: Days from the row's time zero (the first visit, the landmark or the prediction time) to the event
            or the end of follow-up. It can exceed the last edge; ``event`` is then false.
        edge_days: Ends of the steps of the landmark clock and the days clock, in days after time zero, beginning with
            0; empty on the visit clock.
        visit_offsets: First visit of each subject, and the number of visits at the end.
        visit_time: ``datetime64[s]`` [visit], the time of the last entry of each visit.
        features: Standardised features, see ``survlstm.data.features.FEATURES``; after them the standardised columns of
            code groups, see ``survlstm.data.code_groups.group_features``, and those of values, see
            ``survlstm.data.values.apply.value_columns``.
        oracle_hazard: Hazard that drew the outcome; NaN if the outcome was not drawn, and on the landmark clock.
        code_offsets: First code of each visit, and the number of codes at the end.
        code: Number of each code in the vocabulary, visit after visit. After the entries of each visit come the fused
            codes of their values, then the static codes that are inputs.
        static_codes: Number of static codes at the end of each visit of a subject, [subject]. None stands for 0.
        groups: Groups of each subject as texts, one column per name in ``survlstm.data.demographics.KINDS``, "" if
            unknown. None stands for "" everywhere.
        age_years: Age at the clock's time zero in completed years; NaN if unknown. None stands for NaN everywhere.
        fused_codes: Number of fused codes of each visit, [visit]. None stands for 0.
        row_subject: Index of the subject of each row, rising. None stands for one row per subject.
        row_visits: Number of visits that each row sees, the first ones of the subject. None stands for all of them.
        row_time: ``datetime64[s]`` [row], the prediction times. None stands for NaT everywhere.
        row_kind: 0 for a row to train on, n for the n-th rule of ``evaluation.times``; rising within a subject. None
            stands for 0.
        exposure: Share of the interval after ``step`` that a censored row was observed in, see
            ``survlstm.data.row_targets.exposure_after``. None stands for 0.
        prediction_features: Standardised features of each row, see ``survlstm.data.features.PREDICTION_FEATURES``. None
            stands for no column, on the other clocks.
    """

    subject_id: np.ndarray
    split: Int8[np.ndarray, " subject"]
    step: Int64[np.ndarray, " row"]
    event: Bool[np.ndarray, " row"]
    duration_days: Float64[np.ndarray, " row"]
    edge_days: Float64[np.ndarray, " edge"]
    visit_offsets: Int64[np.ndarray, " subject_offset"]
    visit_time: np.ndarray
    features: Float32[np.ndarray, "visit feature"]
    oracle_hazard: Float32[np.ndarray, " visit"]
    code_offsets: Int64[np.ndarray, " visit_offset"]
    code: Int32[np.ndarray, " code"]
    static_codes: Int64[np.ndarray, " subject"] = None  # type: ignore[assignment]
    groups: np.ndarray = None  # type: ignore[assignment]
    age_years: Float64[np.ndarray, " subject"] = None  # type: ignore[assignment]
    fused_codes: Int64[np.ndarray, " visit"] = None  # type: ignore[assignment]
    row_subject: Int64[np.ndarray, " row"] = None  # type: ignore[assignment]
    row_visits: Int64[np.ndarray, " row"] = None  # type: ignore[assignment]
    row_time: np.ndarray = None  # type: ignore[assignment]
    row_kind: Int8[np.ndarray, " row"] = None  # type: ignore[assignment]
    exposure: Float64[np.ndarray, " row"] = None  # type: ignore[assignment]
    prediction_features: Float32[np.ndarray, "row prediction_feature"] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        subjects = len(self.subject_id)
        empty = {
            "static_codes": np.zeros(subjects, dtype=np.int64),
            "groups": np.full((subjects, len(KINDS)), "", dtype="U1"),
            "age_years": np.full(subjects, np.nan),
            "fused_codes": np.zeros(len(self.visit_time), dtype=np.int64),
            "row_subject": np.arange(subjects),
            "row_visits": np.diff(self.visit_offsets),
            "row_time": np.full(len(self.step), np.datetime64("NaT"), dtype="datetime64[s]"),
            "row_kind": np.zeros(len(self.step), dtype=np.int8),
            "exposure": np.zeros(len(self.step)),
            "prediction_features": np.empty((len(self.step), 0), dtype=np.float32),
        }
        for name, values in empty.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, values)

    @property
    def clock(self) -> Literal["visit", "landmark", "days"]:
        """Clock of ``step``, see ``survlstm.survival.steps``."""
        if not len(self.edge_days):
            return "visit"
        return "days" if self.prediction_features.shape[1] else "landmark"

    @property
    def in_days(self) -> bool:
        """Whether the steps are intervals of days after a time zero, as on the landmark clock and the days clock."""
        return self.clock != "visit"

    @property
    def steps(self) -> int:
        """Number of steps: the intervals of days, or on the visit clock the most steps at risk of any subject."""
        return len(self.edge_days) - 1 if self.in_days else int(self.step.max()) + 1

    @cached_property
    def row_offsets(self) -> Int64[np.ndarray, " subject_offset"]:
        """First row of each subject, and the number of rows at the end."""
        return np.searchsorted(self.row_subject, np.arange(len(self.subject_id) + 1))

    @cached_property
    def trained_rows(self) -> Int64[np.ndarray, " subject"]:
        """Number of rows to train on of each subject, which are its first ones."""
        return np.bincount(self.row_subject[self.row_kind == TRAINED], minlength=len(self.subject_id))

    @cached_property
    def trained_visits(self) -> Int64[np.ndarray, " subject"]:
        """Number of visits that the latest row to train on of each subject sees."""
        visits = np.zeros(len(self.subject_id), dtype=np.int64)
        is_trained = self.row_kind == TRAINED
        np.maximum.at(visits, self.row_subject[is_trained], self.row_visits[is_trained])
        return visits

    @property
    def last_visit(self) -> Int64[np.ndarray, " row"]:
        """Index of the last visit that each row sees."""
        return self.visit_offsets[self.row_subject] + self.row_visits - 1

    @property
    def has_event(self) -> Bool[np.ndarray, " subject"]:
        """Whether any row of each subject has the event."""
        has_event = np.zeros(len(self.subject_id), dtype=bool)
        has_event[self.row_subject[self.event]] = True
        return has_event

    def rows_of(self, subject: Int64[np.ndarray, " chosen"], *, kind: int | None = 0) -> Int64[np.ndarray, " row"]:
        """Return the rows of some subjects.

        Args:
            subject: Indices of the subjects.
            kind: Kind of the rows, see ``row_kind``; None for all kinds.

        Returns:
            Indices of the rows, subject after subject in the order of ``subject``.
        """
        first = self.row_offsets[subject]
        if kind == TRAINED:
            return flat_positions(first, self.trained_rows[subject])
        rows = flat_positions(first, self.row_offsets[subject + 1] - first)
        return rows if kind is None else rows[self.row_kind[rows] == kind]

    @property
    def visits_per_subject(self) -> Int64[np.ndarray, " subject"]:
        """Number of visits of each subject that are stored."""
        return np.diff(self.visit_offsets)

    @property
    def added_codes(self) -> Int64[np.ndarray, " visit"]:
        """Number of codes at the end of each visit that are no entries of the record: fused and static codes."""
        return self.fused_codes + np.repeat(self.static_codes, self.visits_per_subject)

    @property
    def is_entry(self) -> Bool[np.ndarray, " code"]:
        """Whether each element of ``code`` is an entry of the record, neither a fused nor a static code."""
        is_entry = np.ones(len(self.code), dtype=bool)
        is_entry[flat_positions(self.code_offsets[1:] - self.added_codes, self.added_codes)] = False
        return is_entry

    def members(self, split: Split) -> Int64[np.ndarray, " member"]:
        """Return the indices of the subjects in a split.

        Args:
            split: The split.

        Returns:
            Indices into the subjects of the tensors, rising; empty if the split has no subject.
        """
        return np.flatnonzero(self.split == split)


class BuiltTensors(NamedTuple):
    """Result of ``build_tensors``.

    Attributes:
        tensors: The arrays.
        preprocessing: Values fitted on the training subjects, or those that were given.
        codes_left_out: Number of entries beyond ``max_codes_per_visit``.
        codes_added: Number of fused and static codes that were added to the visits.
        codes_unknown: Number of ``entries`` whose code is not in the vocabulary, and of the distinct ``codes`` of them.
        warnings: Sentences about the static codes.
        values: Counts of the values; None if values are not used.
    """

    tensors: Tensors
    preprocessing: PreprocessingState
    codes_left_out: int
    codes_added: int
    codes_unknown: dict[str, int]
    warnings: tuple[str, ...]
    values: ValueCounts | None


def build_tensors(
    visits: Visits,
    targets: Targets,
    split: Int8[np.ndarray, " subject"],
    *,
    max_codes_per_visit: int | None,
    min_frequency: int,
    preprocessing: PreprocessingState | None = None,
    demographics: DemographicSettings | None = None,
    landmark: np.ndarray | None = None,
    values: ValueSettings | None = None,
    code_groups: Sequence[CodeGroup] = (),
) -> BuiltTensors:
    """Build the arrays of the subjects that take part, and fit vocabulary, scales and bins on training subjects.

    The visits are first cut to what may be seen. Codes beyond ``max_codes_per_visit`` are left out here, after
    labelling, so that no visit loses the code of its outcome. Fused codes of values and static codes are added last:
    they count neither towards ``max_codes_per_visit`` nor in the features and the columns of code groups.

    Args:
        visits: Visits of the cohort.
        targets: Targets of the subjects that take part.
        split: ``Split`` of each subject of the cohort.
        max_codes_per_visit: Number of codes of each visit to keep, from the first; None keeps all.
        min_frequency: Fewest entries of a code in the vocabulary.
        preprocessing: Values to use instead of fitting them; None fits them.
        demographics: Kinds of static codes, and which of them are inputs; None uses no static code.
        landmark: ``datetime64[s]`` [subject of the cohort], the landmark, at which the age is computed; None, and NaT,
            stand for the first visit.
        values: How values become inputs, if ``preprocessing`` is None; None does not use them.
        code_groups: Groups of codes that get columns, if ``preprocessing`` is None.

    Returns:
        Arrays with the subjects in the order of ``targets.subject``, the fitted values, and the numbers of entries that
        were left out or are unknown.
    """
    oracle = targets.oracle_hazard
    if oracle is None:
        oracle = np.full(len(visits.visit_time), np.nan, dtype=np.float32)
    oracle = oracle[flat_positions(visits.visit_offsets[targets.subject], targets.visits_seen)]
    split = split[targets.subject]
    if landmark is None:
        landmark = np.full(len(visits.subjects), np.datetime64("NaT"), dtype="datetime64[s]")
    landmark = landmark[targets.subject] if targets.rows is None else first_times(targets.rows)
    visits = cut_visits(visits, targets.subject, stop=targets.visits_seen)
    entries = len(visits.code)
    if max_codes_per_visit is not None:
        visits = _first_codes(visits, max_codes_per_visit)
    features = visit_features(visits)
    of_groups = group_features(visits, code_groups if preprocessing is None else preprocessing.code_groups.groups)
    left_out, entries = entries - len(visits.code), len(visits.code)
    demographics = demographics or DemographicSettings({}, ())
    static = input_codes(visits.subjects.static, demographics)
    groups = find_groups(visits.subjects.static, demographics)
    is_training = split == Split.TRAIN
    # Visits that only a row of evaluation.times sees are not fitted on.
    trained_visits = targets.visits_seen if targets.rows is None else visits_before_training_rows(targets.rows)
    if preprocessing is None:
        values = values or ValueSettings()
        fitted = fit_values(
            cut_visits(visits, np.arange(len(split)), stop=trained_visits),
            values,
            is_training=is_training,
            min_frequency=min_frequency,
        )
    else:
        fitted = preprocessing.values
    valued = use_values(visits, fitted)
    visits = append_static_codes(valued.visits, static)
    if preprocessing is None:
        of_training = is_training[visits.visit_subject] & are_first_visits(visits, trained_visits)
        preprocessing = replace(
            _fit(visits, features, of_training, targets.edge_days, min_frequency),
            values=fitted,
            code_groups=FittedGroups(tuple(code_groups), *column_scale(of_groups[of_training])),
        )
        if targets.rows is not None:
            preprocessing = with_row_scale(preprocessing, visits, targets.rows, is_training)
    group_scale = preprocessing.code_groups
    code = preprocessing.vocabulary.number(visits.codes)[visits.code]
    is_unknown = code == preprocessing.vocabulary.entries.index(UNK)
    tensors = Tensors(
        subject_id=visits.subjects.subject_id.astype(np.str_),
        split=split,
        step=targets.step,
        event=targets.event,
        duration_days=targets.duration_days,
        edge_days=targets.edge_days,
        visit_offsets=visits.visit_offsets,
        visit_time=visits.visit_time,
        features=np.hstack(
            [
                standardise(features, mean=preprocessing.feature_mean, spread=preprocessing.feature_spread),
                standardise(of_groups, mean=group_scale.mean, spread=group_scale.spread),
                valued.columns,
            ]
        ),
        oracle_hazard=oracle,
        code_offsets=visits.code_offsets,
        code=code,
        static_codes=static.per_subject,
        groups=groups.names,
        age_years=completed_years(visits.subjects.birth, first_visit_or(landmark, visits)),
        fused_codes=valued.fused,
        **({} if targets.rows is None else row_arrays(visits, targets.rows, preprocessing)),
    )
    unknown = {"entries": int(is_unknown.sum()), "codes": len(np.unique(visits.code[is_unknown]))}
    return BuiltTensors(
        tensors,
        preprocessing,
        codes_left_out=left_out,
        codes_added=len(visits.code) - entries,
        codes_unknown=unknown,
        warnings=several_codes_warnings(groups.several),
        values=valued.counts,
    )


def _first_codes(visits: Visits, max_codes_per_visit: int) -> Visits:
    kept = np.minimum(visits.codes_per_visit, max_codes_per_visit)
    entries = take_entries(visits, flat_positions(visits.code_offsets[:-1], kept))
    return replace(entries, code_offsets=offsets_from_sizes(kept))


def _fit(
    visits: Visits,
    features: Float64[np.ndarray, "visit feature"],
    of_training: Bool[np.ndarray, " visit"],
    edge_days: Float64[np.ndarray, " edge"],
    min_frequency: int,
) -> PreprocessingState:
    codes = visits.code[np.repeat(of_training, visits.codes_per_visit)]
    vocabulary = fit_vocabulary(codes, visits.codes, min_frequency=min_frequency)
    return PreprocessingState(vocabulary, *column_scale(features[of_training]), edge_days)
