"""Choice of subjects before anything is known of their records: those of a file, or a stable sample."""

from __future__ import annotations

import shlex
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from survlstm.data.cohort_file import TIME, CohortFile, read_cohort_file
from survlstm.data.cohort_rules import CohortSettings, ExclusionMask
from survlstm.data.landmark import LandmarkSettings
from survlstm.data.split import subject_key
from survlstm.utils.errors import ConfigError


class ChosenSubjects(NamedTuple):
    """The choice among the subjects of a source.

    Attributes:
        exclusions: Reason and mask of the subjects that are not chosen, in the order in which the rules apply.
        landmark: ``datetime64[s]`` [subject], the landmarks of the file; None if it gives none.
        warnings: Sentences on the file, without values.
    """

    exclusions: tuple[ExclusionMask, ...]
    landmark: np.ndarray | None
    warnings: tuple[str, ...]


def open_cohort_file(
    cohort: CohortSettings, landmark: LandmarkSettings | None, *, on_days: bool = False
) -> CohortFile | None:
    """Read the file of a cohort and check that it fits the clock.

    Args:
        cohort: Settings with the file.
        landmark: Position of the landmark; None on the other clocks.
        on_days: Whether the clock is the days clock.

    Returns:
        The file; None if the cohort has none.

    Raises:
        CohortError: If the file can't be used, see ``read_cohort_file``.
        ConfigError: If the file has prediction times that the clock does not use, or lacks those that it needs.
    """
    file = None if cohort.file is None else read_cohort_file(cohort.file, timezone=cohort.timezone)
    has_times = file is not None and file.time is not None
    if has_times and on_days:
        raise ConfigError(
            f"the column {TIME} of cohort.file places a landmark, which the days clock does not have; its prediction "
            f"times are those of clock.times. Set clock.times={shlex.quote(str(cohort.file))} to predict at the times "
            "of the file, and leave the column out of cohort.file"
        )
    if has_times and landmark is None:
        raise ConfigError(
            f"the column {TIME} of cohort.file places a landmark, which the visit clock does not have. Set "
            "clock=landmark clock.visit=null, or leave the column out of the file"
        )
    if has_times and landmark is not None and not landmark.is_given:
        raise ConfigError(
            f"either the column {TIME} of cohort.file or a key of the clock must place the landmark; found both, the "
            f"latter as {landmark.as_override}. Set that key to null, or leave the column out of the file"
        )
    if landmark is not None and landmark.is_given and not has_times:
        raise ConfigError(
            f"without clock.day, clock.visit and clock.first_code the column {TIME} of cohort.file must place the "
            "landmark; the file has no such column. Add it, or set one of these keys"
        )
    return file


def choose_subjects(cohort: CohortSettings, file: CohortFile | None, subject_id: np.ndarray) -> ChosenSubjects:
    """Choose subjects of a source by the file and the sample of a cohort.

    Args:
        cohort: Settings with the sample.
        file: Result of ``open_cohort_file``.
        subject_id: Identifiers of the subjects of the source, [subject].

    Returns:
        The choice. A sample is drawn from the subjects of the file, if there is one.
    """
    exclusions: list[ExclusionMask] = []
    is_chosen, landmark = np.ones(len(subject_id), dtype=bool), None
    warnings: tuple[str, ...] = ()
    if file is not None:
        is_chosen, landmark, warnings = file.find(subject_id)
        exclusions.append(("not in cohort.file", ~is_chosen))
    if cohort.sample is not None:
        is_sampled = sampled(subject_id, is_chosen, cohort.sample)
        exclusions.append((f"not in the sample of {cohort.sample:,} subjects", ~is_sampled))
    return ChosenSubjects(
        tuple(exclusions),
        None if file is None or file.time is None else landmark,
        (*(() if file is None else file.warnings), *warnings),
    )


def sampled(subject_id: np.ndarray, among: Bool[np.ndarray, " subject"], size: int) -> Bool[np.ndarray, " subject"]:
    """Draw a stable sample: the subjects with the lowest hash of their id, whatever the split and its seed.

    A subject that is added to the source takes the place of at most one other.

    Args:
        subject_id: Identifiers, [subject].
        among: Subjects to draw from.
        size: Number of subjects of the sample; all of them if there are fewer.

    Returns:
        True for the subjects of the sample.
    """
    candidates = np.flatnonzero(among)
    keys = {int(index): subject_key(str(subject_id[index]), seed=0, purpose="cohort.sample") for index in candidates}
    chosen = np.zeros(len(subject_id), dtype=bool)
    chosen[sorted(keys, key=keys.__getitem__)[:size]] = True
    return chosen
