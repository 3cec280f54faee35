"""rank_codes against concordance_td of each indicator, to the last digit; suspects."""

import numpy as np
import pytest

from survlstm.evaluation import leakage
from survlstm.evaluation.leakage import discrimination_by_code, find_suspects
from survlstm.survival.concordance import concordance_td
from tests.tensors import flat_tensors, tensors_from

CODES = 9


def random_tensors(seed, *, subjects=60, clock="visit", longest=8):
    """Many ties in time, censoring, codes seen twice, visits without any, codes that nobody has."""
    generator = np.random.default_rng(seed)
    step = generator.integers(0, longest, subjects)
    visits = step + 1 if clock == "visit" else generator.integers(1, longest, subjects)
    codes_per_visit = generator.poisson(1.2, visits.sum())
    return flat_tensors(
        step=step,
        event=generator.random(subjects) < 0.6,
        visits=visits,
        codes_per_visit=codes_per_visit,
        code=generator.integers(1, CODES - 1, codes_per_visit.sum()),
        edge_days=np.arange(longest + 1.0) if clock == "landmark" else (),
    )


def indicator(tensors, subject, code, steps):
    """Whether the subject has had the code by each step, read visit by visit."""
    seen = [
        code in tensors.code[slice(*tensors.code_offsets[visit : visit + 2])]
        for visit in range(*tensors.visit_offsets[subject : subject + 2])
    ]
    if tensors.clock == "landmark":
        return np.full(steps, any(seen))
    return np.array([any(seen[: number + 1]) for number in range(steps)])


@pytest.mark.parametrize("clock", ["visit", "landmark"])
@pytest.mark.parametrize("chunk", [1, 40, 2**22])
@pytest.mark.parametrize("seed", range(5))
def test_every_code_ranks_as_its_indicator_does(monkeypatch, seed, chunk, clock):
    monkeypatch.setattr(leakage, "CHUNK", chunk)
    tensors = random_tensors(seed, clock=clock)
    members = np.flatnonzero(np.random.default_rng(seed).random(len(tensors.step)) < 0.8)
    step, event = tensors.step[members], tensors.event[members]
    ranks = discrimination_by_code(tensors, members, codes=CODES)
    for code in range(CODES):
        risk = np.array([indicator(tensors, subject, code, int(step.max()) + 1) for subject in members])
        expected = concordance_td(1.0 - risk, step=step, event=event)
        assert ranks.c_td[code] == expected.c_td
        complement = concordance_td(risk.astype(float), step=step, event=event)
        assert 1 - ranks.c_td[code] == pytest.approx(complement.c_td, abs=1e-15)
        has = np.array([indicator(tensors, subject, code, 99).any() for subject in members])
        assert (ranks.carriers[code], ranks.carrier_events[code]) == (has.sum(), (has & event).sum())
    # The canary is alive: the codes don't all rank alike, and nobody has the last one.
    assert len(set(ranks.c_td)) > 3
    assert (ranks.c_td[-1], ranks.carriers[-1]) == (0.5, 0)


def test_a_worked_example():
    """Code 1 at visit 1 of subject 0 (event in step 1) and at visit 2 of subject 1 (censored in step 2).

    At step 1 subject 0 has it and the two controls have it not yet: 2 of 2 pairs. At step 2 the case, subject 2, never
    has it and subject 1 does: 0 of 1 pair.
    """
    records = [[[], [1]], [[], [], [1, 1]], [[], [], []]]
    tensors = tensors_from(records, step=[1, 2, 2], event=[True, False, True])
    ranks = discrimination_by_code(tensors, np.arange(3), codes=2)
    assert ranks.c_td.tolist() == [0.5, 2 / 3]
    assert (ranks.carriers.tolist(), ranks.carrier_events.tolist()) == ([0, 2], [0, 1])


def test_without_a_comparable_pair_no_code_ranks():
    tensors = random_tensors(0)
    for members in (np.flatnonzero(~tensors.event), np.array([], dtype=np.int64)):
        ranks = discrimination_by_code(tensors, members, codes=CODES)
        assert np.isnan(ranks.c_td).all()
        assert find_suspects(ranks, ("x",) * CODES, threshold=0.0, min_events=0, subjects=3, events=0) == ()


def test_suspects_are_codes_and_absences_that_reach_the_threshold_with_enough_events():
    ranks = leakage.CodeDiscrimination(
        np.array([0.95, 0.99, 0.03, 0.02, 0.89, np.nan]),
        np.array([40, 12, 60, 95, 50, 0]),
        np.array([20, 9, 10, 48, 50, 0]),
    )
    found = find_suspects(ranks, tuple("abcdef"), threshold=0.9, min_events=10, subjects=100, events=50)
    assert [(one.code, one.absent, one.carriers, one.events) for one in found] == [
        ("c", True, 40, 40),
        ("a", False, 40, 20),
    ]
    assert found[0].c_td == pytest.approx(0.97)
