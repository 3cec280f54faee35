"""Make subjects, events and counts from the collected rows of a MEDS dataset."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int32, Int64

from survlstm.data.events import Events, SourceData, StaticCodes, Subjects, TableCount, ValueFault
from survlstm.data.sources.meds.files import MedsFiles, read_day_tolerance
from survlstm.data.sources.meds.metadata import read_names, read_split
from survlstm.data.sources.meds.names import BIRTH, DATA, DEATH, OBSERVED_UNTIL, UNIT
from survlstm.data.sources.meds.numbering import CodeKind
from survlstm.data.sources.meds.read import CollectedShards
from survlstm.data.sources.meds.rows import UNUSABLE, EventColumns, RowCollector, RowUse, subject_days
from survlstm.data.sources.units import UNUSABLE_UNIT, sorted_units, unit_numbers

LEFT_OUT = "subject left out (unusable death)"
_BLOCK = 1 << 20
DEATH_BEFORE_BIRTH = "day of death before the day of birth"


class _Lives(NamedTuple):
    """Days of each subject, in the order of reading.

    Attributes:
        birth: ``datetime64[s]`` [subject].
        death: ``datetime64[s]`` [subject].
        observed_until: ``datetime64[s]`` [subject].
        is_left_out: Subjects whose death can't be used.
        is_before_birth: Those of them that died before their birth.
        warnings: Sentences about subjects with several days, or without a usable death.
    """

    birth: np.ndarray
    death: np.ndarray
    observed_until: np.ndarray
    is_left_out: Bool[np.ndarray, " subject"]
    is_before_birth: Bool[np.ndarray, " subject"]
    warnings: tuple[str, ...]


def source_data(files: MedsFiles, collected: CollectedShards) -> SourceData:
    """Number subjects and codes in the order of their names, and count the rows.

    The collected events are used up.

    Args:
        files: Files of the dataset.
        collected: The rows.

    Returns:
        Events of the subjects that are not left out.

    Raises:
        SourceError: A file below ``metadata/`` can't be read.
    """
    rows = collected.rows
    ids = np.array(rows.subjects.ids, dtype=np.int64)
    lives = _lives(rows, subjects=len(ids))
    names = read_names(files, ids)
    kept = np.flatnonzero(~lives.is_left_out)
    kept = kept[np.argsort(names[kept], kind="stable")]
    # New number of each subject, -1 for one that is left out.
    rank = np.full(len(ids), -1, dtype=np.int32)
    rank[kept] = np.arange(len(kept), dtype=np.int32)
    count = _count(rows, lives)
    subjects = Subjects(
        names[kept],
        lives.birth[kept],
        lives.death[kept],
        lives.observed_until[kept],
        _static_codes(rows, rank, subjects=len(kept)),
    )
    events = _events(rows, rank, subjects, day_tolerance=read_day_tolerance(files))
    split, split_warnings = read_split(files, ids[kept])
    warnings = (*_warnings(collected), *lives.warnings, *split_warnings)
    return SourceData(events, (count,), warnings, split)


def _lives(rows: RowCollector, *, subjects: int) -> _Lives:
    days = rows.days()
    birth, several_births = subject_days(days, CodeKind.BIRTH, subjects=subjects)
    death, several_deaths = subject_days(days, CodeKind.DEATH, subjects=subjects)
    until, several_ends = subject_days(days, CodeKind.OBSERVED_UNTIL, subjects=subjects)
    birth[several_births] = np.datetime64("NaT")
    undated = rows.undatable_deaths()
    is_left_out = np.zeros(subjects, dtype=bool)
    is_left_out[undated[undated >= 0]] = True
    # A second row may date the death.
    is_left_out &= np.isnat(death)
    is_before_birth = death < birth
    is_left_out |= is_before_birth
    warnings = [
        f"{code}: {number:,} of {subjects:,} subjects have several days; {rule}."
        for number, code, rule in (
            (int(several_births.sum()), BIRTH, "their birth, and so their age, is unknown"),
            (int(several_deaths.sum()), DEATH, "the earliest is taken"),
            (int(several_ends.sum()), OBSERVED_UNTIL, "the earliest is taken"),
        )
        if number
    ]
    lost = int(is_left_out.sum())
    if lost:
        warnings.append(
            f"SELECTED BY OUTCOME: {lost:,} of {subjects:,} subjects are left out because their {DEATH} has no usable "
            "time, or is dated before their birth. Which subjects remain depends on who died, so every rate of death "
            "and every risk from this cohort is biased. Correct these rows of the dataset."
        )
    return _Lives(birth, death, until, is_left_out, is_before_birth, tuple(warnings))


def _static_codes(rows: RowCollector, rank: np.ndarray, *, subjects: int) -> StaticCodes:
    subject, code = rows.static()
    is_kept = rank[subject] >= 0
    names = np.array(rows.codes.names, dtype=object)
    return StaticCodes.from_rows(rank[subject[is_kept]], names[code[is_kept]], subjects=subjects)


def _events(rows: RowCollector, rank: np.ndarray, subjects: Subjects, *, day_tolerance: int) -> Events:
    columns = rows.events()
    if (rank < 0).any():
        is_kept = rank[columns.subject] >= 0
        columns = EventColumns(*(column[is_kept] for column in columns))
    codes = len(rows.codes.names)
    present = np.flatnonzero(_count_numbers(columns.code, most=codes))
    names = np.array([rows.codes.names[number] for number in present.tolist()], dtype=np.str_)
    order = np.argsort(names, kind="stable")
    number_of = np.zeros(codes, dtype=np.int32)
    number_of[present[order]] = np.arange(len(present), dtype=np.int32)
    _renumber(columns.subject, rank)
    _renumber(columns.code, number_of)
    if rows.texts:
        _forget_ordinary_texts(columns, codes=len(names))
    return Events(
        subjects=subjects,
        codes=names[order],
        subject=columns.subject,
        code=columns.code,
        time=columns.time,
        encounter=columns.encounter,
        numeric_value=columns.value,
        day_tolerance=day_tolerance,
        units=_number_units(rows, columns),
        unit=columns.unit,
        value_fault=columns.fault,
    )


def _number_units(rows: RowCollector, columns: EventColumns) -> np.ndarray:
    """Return the sorted units that occur, and renumber the units of the events by them, in place."""
    names = rows.units.names
    if len(names) == 1:
        return sorted_units(names)
    present = np.flatnonzero(_count_numbers(columns.unit, most=len(names))).tolist()
    units = sorted_units(names[number] for number in present)
    _renumber(columns.unit, unit_numbers(units, names))
    return units


def _forget_ordinary_texts(columns: EventColumns, *, codes: int) -> None:
    """Keep the fault of a text only if another event of its code has a number, in place."""
    blocks = [slice(start, start + _BLOCK) for start in range(0, len(columns.code), _BLOCK)]
    has_numbers = np.zeros(codes, dtype=bool)
    for block in blocks:
        is_number = ~np.isnan(columns.value[block]) | (columns.fault[block] == ValueFault.INFINITE)
        has_numbers[columns.code[block][is_number]] = True
    for block in blocks:
        is_ordinary = (columns.fault[block] == ValueFault.TEXT) & ~has_numbers[columns.code[block]]
        columns.fault[block][is_ordinary] = ValueFault.NONE


def _count_numbers(numbers: Int32[np.ndarray, " event"], *, most: int) -> Int64[np.ndarray, " number"]:
    # In blocks, because numpy makes an int64 of every index.
    blocks = (np.bincount(numbers[start : start + _BLOCK], minlength=most) for start in range(0, len(numbers), _BLOCK))
    return sum(blocks, np.zeros(most, dtype=np.int64))


def _renumber(numbers: Int32[np.ndarray, " event"], new: Int32[np.ndarray, " number"]) -> None:
    """Replace each number by its new one, in place."""
    for start in range(0, len(numbers), _BLOCK):
        numbers[start : start + _BLOCK] = new[numbers[start : start + _BLOCK]]


def _count(rows: RowCollector, lives: _Lives) -> TableCount:
    """Count the rows; those of a subject that is left out are not used, and deaths before the birth are unusable."""
    left_out = wrong = 0
    if lives.is_left_out.any():
        days = rows.days()
        subjects = len(lives.birth)
        used = _count_numbers(rows.events().subject, most=subjects)
        used += np.bincount(np.concatenate([rows.static()[0], days.subject]), minlength=subjects)
        wrong = int(np.count_nonzero(lives.is_before_birth[days.subject] & (days.kind == CodeKind.DEATH)))
        left_out = int(used[lives.is_left_out].sum()) - wrong
    unusable = {reason: int(rows.uses[use]) for use, reason in UNUSABLE.items() if rows.uses[use]}
    if wrong:
        unusable[DEATH_BEFORE_BIRTH] = wrong
    return TableCount(
        DATA,
        rows_read=int(rows.uses.sum()),
        rows_used=int(rows.uses[: RowUse.DAY + 1].sum()) - left_out - wrong,
        left_out={LEFT_OUT: left_out} if left_out else {},
        unusable=unusable,
    )


def _warnings(collected: CollectedShards) -> list[str]:
    warnings = []
    for number, what in (
        (collected.apart, "the rows of a subject are not together"),
        (collected.unsorted, "the rows of a subject are not in order of time"),
    ):
        if number:
            warnings.append(
                f"in {number:,} of {collected.shards:,} shards {what}, as MEDS asks; they are read all the same, but "
                "other programs that read MEDS may fail."
            )
    if collected.rows.infinite:
        warnings.append(f"{collected.rows.infinite:,} values are infinite; they are read as missing.")
    if collected.rows.unusable_units:
        warnings.append(
            f"{collected.rows.unusable_units:,} values have a text in {UNIT} that can't be a unit ({UNUSABLE_UNIT}); "
            "they are read without one."
        )
    return warnings
