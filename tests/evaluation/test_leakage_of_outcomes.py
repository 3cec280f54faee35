"""Entries that decide the outcome: rates that chance explains or not, groups of codes, and what is known too late."""

import numpy as np
import pytest

from survlstm.evaluation.leakage_of_outcomes import code_families, compare_events, deciding_entries
from tests.tensors import tensors_from


@pytest.mark.parametrize(
    ("group", "total", "found"),
    [
        # All of 60 have the event, where 40 % of the others do: 36 without it would be expected.
        ((60, 60), (160, 100), [(False, True)]),
        # One of them has it not.
        ((60, 59), (160, 99), []),
        # 90 % of the others have it, so that only 6 would be expected without.
        ((60, 60), (160, 150), []),
        # Too few.
        ((49, 49), (449, 89), []),
        # None of the 300 without it has the event, and 40 of 60 with it: (1 + 300 / 320) / 2 = 0.97.
        ((60, 40), (360, 40), [(True, False)]),
        # As with a sex, none of half of the subjects can have the event: (1 + 200 / 360) / 2 = 0.78.
        ((200, 40), (400, 40), []),
        ((0, 0), (160, 100), []),
    ],
)
def test_a_group_decides_if_it_has_the_event_always_or_never_and_not_by_chance(group, total, found):
    decided = compare_events("a", group, total)
    assert [(one.absent, one.happens) for one in decided] == found
    for one in decided:
        assert (one.subjects + one.others, one.code) == (total[0], "a")


def test_codes_are_grouped_by_all_but_their_last_part():
    entries = (
        "[PAD]",
        "cause//heart",
        "cause//lung",
        "SNOMED/1",
        "sex//F",
        "lab//x//value_[0,1)",
        "lab//x//value_[1,2)",
    )
    families = code_families(entries, fused=(5, 6))
    assert families.names == ("cause//*",)
    assert families.of_code.tolist() == [1, 0, 0, 1, 1, 1, 1]


def cause_of_death(code_at):
    """300 subjects with two visits; 100 have the event, and code 1 at the visit ``code_at``; code 2 is everybody's."""
    event = np.arange(300) < 100
    records = [[[2, *([1] if dead and code_at == visit else [])] for visit in range(2)] for dead in event]
    return tensors_from(records, step=np.ones(300, dtype=int), event=event)


def test_only_what_is_known_at_time_zero_decides():
    members = np.arange(300)
    first, second = (deciding_entries(cause_of_death(at), members, ("", "cause", "all")) for at in (0, 1))
    assert {(one.code, one.absent, one.happens, one.subjects) for one in first} == {
        ("cause", False, True, 100),
        ("cause", True, False, 200),
    }
    assert second == ()
    # The test subjects are not read.
    assert deciding_entries(cause_of_death(0), np.arange(100, 300), ("", "cause", "all")) == ()
