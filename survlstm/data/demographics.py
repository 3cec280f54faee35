"""Demographics from static codes: the groups of each subject, its age, and the codes that become inputs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

from survlstm.data.added_codes import append_codes
from survlstm.data.death_codes import is_death_code
from survlstm.data.events import StaticCodes, Subjects
from survlstm.data.visits import Visits, offsets_from_sizes
from survlstm.utils.ragged import flat_positions

# Columns of ``Groups.names``.
KINDS = ("sex", "race", "ethnicity")
# Static codes of no kind.
OTHER = "other"


@dataclass(frozen=True)
class DemographicSettings:
    """Which static codes belong to which kind, and which kinds are inputs.

    Attributes:
        prefixes: Prefixes of the codes of each kind, by its name in ``KINDS``. A code belongs to the kind of the
            longest prefix that it begins with, and the rest of the code is the name of the group.
        inputs: Kinds whose codes are inputs of every visit; ``OTHER`` stands for the codes of no kind.
        outcome_codes: Codes that define the outcome; they are never inputs.
    """

    prefixes: dict[str, tuple[str, ...]]
    inputs: tuple[str, ...]
    outcome_codes: tuple[str, ...] = ()

    def kinds(self, codes: Iterable[str]) -> list[tuple[str, str]]:
        """Return the kind of each code and the rest of the code after the prefix.

        Args:
            codes: Static codes as texts, such as ``GENDER//F``.

        Returns:
            Pairs such as ("sex", "F"); ``OTHER`` and the whole code for a code of no kind.
        """
        ordered = sorted(
            ((prefix, kind) for kind, prefixes in self.prefixes.items() for prefix in prefixes),
            key=lambda pair: -len(pair[0]),
        )
        return [
            next(
                ((kind, code[len(prefix) :]) for prefix, kind in ordered if code.startswith(prefix)),
                (OTHER, code),
            )
            for code in map(str, codes)
        ]

    def is_input(self, codes: np.ndarray) -> Bool[np.ndarray, " code"]:
        """Mark the static codes that are inputs; codes of the outcome and of a death never are.

        Args:
            codes: Static codes as texts.
        """
        is_chosen = np.array([kind in self.inputs for kind, _ in self.kinds(codes)], dtype=bool)
        return is_chosen & ~is_death_code(codes) & ~self._is_of_outcome(codes)

    def undated_outcomes(self, static: StaticCodes) -> tuple[str, ...]:
        """Return a warning that counts the subjects with a code of the outcome that has no time.

        Args:
            static: Static codes of the subjects.

        Returns:
            One sentence, or none if there is no such subject.
        """
        owner = np.repeat(np.arange(len(static.per_subject)), static.per_subject)
        subjects = len(np.unique(owner[self._is_of_outcome(static.codes)[static.code]]))
        if not subjects:
            return ()
        return (
            f"codes of the outcome without a time: {subjects} subjects have one. It is neither an event nor an input, "
            "and these subjects may have had the outcome before; leave them out with cohort.exclude if they did",
        )

    def _is_of_outcome(self, codes: np.ndarray) -> Bool[np.ndarray, " code"]:
        return np.isin(codes.astype(np.str_), np.array(self.outcome_codes, dtype=np.str_))


class Groups(NamedTuple):
    """Groups of the subjects by their static codes.

    Attributes:
        names: Name of the group of each subject, one column per name in ``KINDS``; "" if it has no code of the kind,
            or several.
        several: Number of subjects with several codes of a kind, by kind; kinds without such a subject are absent.
    """

    names: np.ndarray
    several: dict[str, int]


def find_groups(static: StaticCodes, settings: DemographicSettings) -> Groups:
    """Return the group of each subject by sex, race and ethnicity.

    Args:
        static: Static codes of the subjects.
        settings: Prefixes of the codes of each kind.

    Returns:
        The groups; a subject with several different names of a kind belongs to none of them.
    """
    subjects = len(static.per_subject)
    owner = np.repeat(np.arange(subjects), static.per_subject)
    kinds = settings.kinds(static.codes)
    columns, several = [], {}
    for kind in KINDS:
        names = np.array([rest if found == kind else "" for found, rest in kinds], dtype=np.str_)
        is_of_kind = names != ""
        rows = np.flatnonzero(is_of_kind[static.code])
        column = np.full(subjects, "", dtype=names.dtype)
        # Of several names the last one is written, and the others differ from it.
        column[owner[rows]] = names[static.code[rows]]
        conflicting = np.unique(owner[rows[names[static.code[rows]] != column[owner[rows]]]])
        column[conflicting] = ""
        if len(conflicting):
            several[kind] = len(conflicting)
        columns.append(column)
    return Groups(np.stack(columns, axis=1), several)


def completed_years(birth: np.ndarray, at: np.ndarray) -> Float64[np.ndarray, " subject"]:
    """Compute the age in completed years.

    Args:
        birth: ``datetime64[s]`` [subject], NaT if unknown.
        at: ``datetime64[s]`` [subject], the time of the age.

    Returns:
        Whole numbers; NaN without a date of birth, and for a time before it. A birthday of 29 February is on 1 March in
        other years.
    """
    known = ~np.isnat(birth) & ~np.isnat(at) & (at >= birth)
    days = [np.where(known, time, np.datetime64(0, "s")).astype("datetime64[D]") for time in (birth, at)]
    (born, born_day), (month, day) = (
        (each.astype("datetime64[M]").astype(np.int64), each - each.astype("datetime64[M]")) for each in days
    )
    return np.where(known, (month - born - (day < born_day)) // 12, np.nan)


def input_codes(static: StaticCodes, settings: DemographicSettings) -> StaticCodes:
    """Select the static codes that are inputs, see ``DemographicSettings.is_input``.

    Args:
        static: Static codes of the subjects.
        settings: Prefixes of the kinds, and the kinds to select.

    Returns:
        The selected codes of the same subjects; ``codes`` lists only the selected ones.
    """
    subjects = len(static.per_subject)
    if not settings.inputs or not len(static.code):
        return StaticCodes.none(subjects)
    chosen = settings.is_input(static.codes)
    kept = chosen[static.code]
    owner = np.repeat(np.arange(subjects), static.per_subject)
    number = (np.cumsum(chosen) - 1).astype(np.int32)
    sizes = np.bincount(owner[kept], minlength=subjects)
    return StaticCodes(static.codes[chosen], offsets_from_sizes(sizes), number[static.code[kept]])


def append_static_codes(visits: Visits, static: StaticCodes) -> Visits:
    """Append the static codes of each subject to each of its visits, after the entries of the visit.

    Args:
        visits: Visits of the subjects.
        static: Static codes of the same subjects, see ``input_codes``.

    Returns:
        The visits with these codes; ``visits`` itself if there is none.
    """
    owner = visits.visit_subject
    added = static.per_subject[owner]
    code = static.code[flat_positions(static.offsets[owner], added)]
    return append_codes(visits, static.codes, code, per_visit=added)


def subjects_without(subjects: Subjects, settings: DemographicSettings) -> dict[str, int]:
    """Count the subjects that have no code of a kind that is an input.

    Args:
        subjects: The subjects with their static codes.
        settings: Prefixes of the kinds, and the kinds to count.

    Returns:
        Number of subjects by kind; kinds without such a subject, and ``OTHER``, are absent.
    """
    static = subjects.static
    owner = np.repeat(np.arange(len(subjects)), static.per_subject)
    kind_of = np.array([kind for kind, _ in settings.kinds(static.codes)], dtype=np.str_)
    missing: dict[str, int] = {}
    for kind in settings.inputs:
        with_code = owner[kind_of[static.code] == kind] if len(owner) else owner
        without = len(subjects) - len(np.unique(with_code))
        if kind != OTHER and without:
            missing[kind] = without
    return missing


def first_visit_or(landmark: np.ndarray, visits: Visits) -> np.ndarray:
    """Return time zero of each subject: the landmark, or the first visit of a subject without one.

    Args:
        landmark: ``datetime64[s]`` [subject], NaT on the visit clock.
        visits: Visits of the subjects, each with at least one.
    """
    return np.where(np.isnat(landmark), visits.visit_time[visits.visit_offsets[:-1]], landmark)


def several_codes_warnings(several: dict[str, int]) -> tuple[str, ...]:
    """Return a warning about the subjects that have several codes of a kind.

    Args:
        several: ``Groups.several``.
    """
    return tuple(
        f"{number:,} subjects have several static codes of the kind {kind} and belong to no group by {kind} in the "
        "evaluation; where that kind is an input (data.static), all of their codes are"
        for kind, number in several.items()
    )
