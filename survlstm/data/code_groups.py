"""Features of each visit from groups of codes: whether a group has occurred so far, and the time since it last did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from survlstm.data.features import DAY_SECONDS
from survlstm.data.stored_numbers import check_scale, parse_numbers
from survlstm.data.visits import Visits

# Columns of each group: whether a code of it has occurred, and the time since it last did.
COLUMNS_PER_GROUP = 2
PARTS = {"name", "codes", "mean", "spread"}


class CodeGroup(NamedTuple):
    """Codes that count as one.

    Attributes:
        name: Name of the group.
        codes: The codes, as SYSTEM/CODE. They are compared literally, without a hierarchy of codes.
    """

    name: str
    codes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class FittedGroups:
    """Groups of codes, and the scale of their columns among the training visits.

    Attributes:
        groups: The groups, in the order of their columns.
        mean: Mean of each column of ``group_features``.
        spread: Standard deviation of each column.
    """

    groups: tuple[CodeGroup, ...] = ()
    mean: Float64[np.ndarray, " column"] = field(default_factory=lambda: np.empty(0))
    spread: Float64[np.ndarray, " column"] = field(default_factory=lambda: np.empty(0))

    @property
    def columns(self) -> int:
        """Number of columns of the groups."""
        return COLUMNS_PER_GROUP * len(self.groups)

    def as_plain(self) -> list[dict[str, Any]]:
        """Convert to lists of texts and numbers for JSON and checkpoints, without loss of precision."""
        scales = zip(
            self.groups, *(scale.reshape(-1, COLUMNS_PER_GROUP) for scale in (self.mean, self.spread)), strict=True
        )
        return [
            {"name": group.name, "codes": list(group.codes), "mean": mean.tolist(), "spread": spread.tolist()}
            for group, mean, spread in scales
        ]

    @classmethod
    def from_plain(cls, plain: Any) -> FittedGroups:
        """Check and convert what ``as_plain`` wrote.

        Args:
            plain: Value read from a file, of any type.

        Returns:
            The groups, with every number as it was written.

        Raises:
            ValueError: If a part is missing, has the wrong type or is out of range.
        """
        if not (isinstance(plain, list) and all(isinstance(group, dict) and group.keys() == PARTS for group in plain)):
            raise ValueError(f"every code group must have exactly the parts {', '.join(sorted(PARTS))}")
        names, codes = ([group[part] for group in plain] for part in ("name", "codes"))
        if not all(isinstance(name, str) for name in names) or len(set(names)) != len(names):
            raise ValueError("every code group must have a name of its own")
        if not all(isinstance(each, list) and all(isinstance(code, str) for code in each) for each in codes):
            raise ValueError("every code group must have a list of codes")
        scales = []
        for part in ("mean", "spread"):
            numbers = [parse_numbers(f"{part} of a code group", group[part]) for group in plain]
            if any(len(each) != COLUMNS_PER_GROUP for each in numbers):
                raise ValueError(f"every code group must have a {part} of each of its {COLUMNS_PER_GROUP} columns")
            scales.append(np.concatenate([np.empty(0), *numbers]))
        mean, spread = scales
        check_scale(mean, spread)
        return cls(tuple(CodeGroup(name, tuple(each)) for name, each in zip(names, codes, strict=True)), mean, spread)


def group_features(visits: Visits, groups: Sequence[CodeGroup]) -> Float64[np.ndarray, "visit column"]:
    """Compute the columns of groups of codes, before they are standardised.

    Args:
        visits: Visits of some subjects, with the entries of their records only.
        groups: The groups.

    Returns:
        Two columns for each group in turn: 1 if one of its codes has occurred in this visit or an earlier one of the
        subject, otherwise 0; and ``log(1 + days since the last visit with one)``, 0 in that visit, and 0 if none has
        occurred.
    """
    number = np.arange(len(visits.visit_time))
    first_visit = visits.visit_offsets[:-1][visits.visit_subject]
    seconds = visits.visit_time.astype("datetime64[s]").astype(np.int64)
    columns = np.zeros((len(number), COLUMNS_PER_GROUP * len(groups)))
    for place, group in enumerate(groups):
        has_code = np.zeros(len(number), dtype=bool)
        has_code[visits.entry_visit[np.isin(visits.codes, group.codes)[visits.code]]] = True
        last = np.maximum.accumulate(np.where(has_code, number, -1))
        # The last visit with a code may be one of an earlier subject.
        occurred = last >= first_visit
        days = (seconds[occurred] - seconds[last[occurred]]) / DAY_SECONDS
        columns[occurred, COLUMNS_PER_GROUP * place] = 1
        columns[occurred, COLUMNS_PER_GROUP * place + 1] = np.log1p(days)
    return columns


def absent_group_warnings(groups: Sequence[CodeGroup], visits: Visits) -> tuple[str, ...]:
    """Return a sentence for each group with codes that occur in no visit.

    Args:
        groups: The groups.
        visits: Observed visits of all subjects of the source.
    """
    used = set(visits.codes[np.unique(visits.code)].tolist())
    absent = {group.name: [code for code in group.codes if code not in used] for group in groups}
    return tuple(
        f"data.code_groups.{name} has codes that occur in no visit that may be read: {', '.join(codes)}; check the "
        "coding system and the codes"
        for name, codes in absent.items()
        if codes
    )
