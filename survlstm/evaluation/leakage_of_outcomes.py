"""Entries that decide the outcome: all subjects with one have the event, or none without it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64

from survlstm.data.tensors import Tensors

# What separates the parts of a code, as in ``chapter//Circulatory``.
SEPARATOR = "//"
# Subjects of a group in which all or none have the event, and the subjects that would be expected otherwise, at the
# rate of the others. By chance alone the latter has a probability of exp(-30).
FEWEST_SUBJECTS, FEWEST_EXPECTED = 50, 30
# (Sensitivity + specificity) / 2 of an entry without which nobody has the event. That of an entry which only makes the
# event possible, as a sex does, is lower: 0.75 if half of the population has it.
LEAST_BALANCED_ACCURACY = 0.85


class DecidingEntry(NamedTuple):
    """An entry, or its absence, that decides the outcome.

    Attributes:
        code: The entry, or a group of entries as in ``chapter//*``.
        absent: Whether the absence decides.
        happens: Whether all the subjects have the event; False: none has it.
        subjects: Number of subjects with the entry, or without it.
        others: Number of the other subjects.
        other_events: Number of events among them.
    """

    code: str
    absent: bool
    happens: bool
    subjects: int
    others: int
    other_events: int


class Families(NamedTuple):
    """Groups of vocabulary entries that differ in their last part only.

    Attributes:
        names: Names of the groups, ``chapter//*``.
        of_code: Group of each entry; the last number stands for none.
    """

    names: tuple[str, ...]
    of_code: Int64[np.ndarray, " code"]


def code_families(entries: tuple[str, ...], *, fused: tuple[int, ...]) -> Families:
    """Group the entries by what stands before their last separator.

    A category that is recorded for the dead only is found as a whole, where each of its values covers few of them.

    Args:
        entries: Vocabulary entries.
        fused: Numbers of those that are bins of values, which belong to no group.
    """
    stems: dict[str, list[int]] = {}
    for number, entry in enumerate(entries):
        stem, separator, _ = entry.rpartition(SEPARATOR)
        if separator and number not in fused:
            stems.setdefault(stem, []).append(number)
    groups = {stem: members for stem, members in stems.items() if len(members) > 1}
    of_code = np.full(len(entries), len(groups), dtype=np.int64)
    for place, members in enumerate(groups.values()):
        of_code[members] = place
    return Families(tuple(f"{stem}{SEPARATOR}*" for stem in groups), of_code)


def deciding_entries(
    tensors: Tensors, members: Int64[np.ndarray, " member"], names: tuple[str, ...]
) -> tuple[DecidingEntry, ...]:
    """Find the entries that decide the outcome of the members from time zero on.

    Only what is known at the clock's time zero counts: the first visit, or all visits up to the landmark. A later entry
    has more time to be recorded in a longer record.

    Args:
        tensors: Data of all subjects.
        members: Indices of the subjects.
        names: Name of each number in ``tensors.code``; further numbers are ignored.

    Returns:
        The entries, those with the most subjects first.
    """
    has, has_event = _carriers(tensors, members, len(names))
    total = len(members), int(tensors.event[members].sum())
    found = [
        decided
        for number, name in enumerate(names)
        for decided in compare_events(name, (int(has[number]), int(has_event[number])), total)
    ]
    return tuple(sorted(found, key=lambda one: -one.subjects))


def compare_events(name: str, group: tuple[int, int], total: tuple[int, int]) -> list[DecidingEntry]:
    """Say whether a group of subjects, or the others, all have the event or none has it, and not by chance.

    Args:
        name: Name of the group.
        group: Number of its subjects, and of the events among them.
        total: The same of all subjects.

    Returns:
        What decides; empty if nothing does.
    """
    others = total[0] - group[0], total[1] - group[1]
    return [
        DecidingEntry(name, absent, happens, one[0], other[0], other[1])
        for absent, one, other in ((False, group, others), (True, others, group))
        for happens in (True, False)
        if _decides(one, other, happens=happens)
    ]


def _decides(group: tuple[int, int], other: tuple[int, int], *, happens: bool) -> bool:
    subjects, events = group
    if subjects < FEWEST_SUBJECTS or other[0] == 0 or events != (subjects if happens else 0):
        return False
    rate = other[1] / other[0]
    if subjects * ((1 - rate) if happens else rate) < FEWEST_EXPECTED:
        return False
    # All events are outside of a group that never has it, so that the sensitivity of the others is 1.
    survivors = subjects + other[0] - other[1]
    return happens or (1 + subjects / survivors) / 2 >= LEAST_BALANCED_ACCURACY


def _carriers(
    tensors: Tensors, members: Int64[np.ndarray, " member"], codes: int
) -> tuple[Int64[np.ndarray, " code"], Int64[np.ndarray, " code"]]:
    """Count the members with each code at time zero, and the events among them."""
    entry = np.flatnonzero(tensors.code < codes)
    visit = np.searchsorted(tensors.code_offsets, entry, side="right") - 1
    subject = np.searchsorted(tensors.visit_offsets, visit, side="right") - 1
    is_known = _is_member(len(tensors.step), members)[subject]
    if tensors.clock == "visit":
        is_known &= visit == tensors.visit_offsets[subject]
    pair = np.unique(subject[is_known] * codes + tensors.code[entry[is_known]].astype(np.int64))
    code, happened = pair % max(codes, 1), tensors.event[pair // max(codes, 1)]
    return np.bincount(code, minlength=codes), np.bincount(code[happened], minlength=codes)


def _is_member(subjects: int, members: Int64[np.ndarray, " member"]) -> Bool[np.ndarray, " subject"]:
    is_member = np.zeros(subjects, dtype=bool)
    is_member[members] = True
    return is_member
