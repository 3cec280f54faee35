"""Tests of the ranks of planted codes: a worked table, and a trained model in which they must rank first."""

from dataclasses import replace

import numpy as np
import pytest

from survlstm.data.outcomes.synthetic import SyntheticOutcome
from survlstm.data.prepare import prepare_uncached
from survlstm.data.split import Split
from survlstm.explanation.effects import METHODS, compute_effects
from survlstm.explanation.findings import evaluate_planted_codes
from survlstm.explanation.planted_codes import rank_planted_codes
from survlstm.explanation.ranking import rank_codes
from tests.learning import batches_of, fit_new
from tests.records import SETTINGS, RecordsSource, events_of

ENTRIES = ("[PAD]", "[UNK]", "X/a", "X/b", "X/c", "X/d", "X/e")


def test_precision_and_ranks_worked_by_hand():
    # X/a is ranked 4th, X/b 1st, X/d 2nd, X/e 3rd; nobody explained has X/c.
    found = rank_planted_codes(["X/a", "X/b", "X/c", "Y/9"], ENTRIES, np.array([2, 3, 5, 6]), np.array([4, 1, 2, 3]))
    assert found.k == 3
    assert found.precision == pytest.approx(1 / 3)
    assert found.in_front == 1
    assert found.chance == pytest.approx(2 / 4)
    assert found.mean_rank == 2.5
    assert found.ranks == {"X/a": 4, "X/b": 1}
    assert (found.unseen, found.unknown) == (("X/c",), ("Y/9",))


def test_planted_codes_that_no_record_has():
    found = rank_planted_codes(["Y/9"], ENTRIES, np.array([2]), np.array([1]))
    assert found.k == 0
    assert np.isnan([found.precision, found.mean_rank]).all()
    assert found.unknown == ("Y/9",)


def test_no_ranked_codes_at_all():
    found = rank_planted_codes(["X/a"], ENTRIES, np.array([], dtype=int), np.array([], dtype=int))
    assert (found.k, found.precision, found.unseen) == (1, 0.0, ("X/a",))
    assert np.isnan(found.chance)


def records_with_rare_codes(subjects):
    """Records with forty codes. A subject has each of them with probability 1/4, once, at one of its visits."""
    generator = np.random.default_rng(0)
    records = {}
    for number in range(subjects):
        visits = int(generator.integers(6, 14))
        held = {code: int(generator.integers(visits)) for code in range(40) if generator.random() < 0.25}
        records[f"s{number:04d}"] = [
            (
                f"2020-{1 + visit:02d}-03T08:00:00",
                f"e{visit}",
                ["X/usual", *(f"X/{code}" for code, place in held.items() if place == visit)],
            )
            for visit in range(visits - 1 if visits > 12 else visits)
        ]
    return records


PLANTED = ["X/3", "X/11", "X/27"]


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A small model trained on an outcome drawn from three planted codes."""
    outcome = SyntheticOutcome(0.6, 2.5, 0.0, 0.0, 0.0, 1 / 60, seed=0, planted_codes=PLANTED)
    prepared = prepare_uncached(
        RecordsSource(events_of(records_with_rare_codes(900))), outcome, replace(SETTINGS, min_visits=2)
    )
    model, _ = fit_new(prepared, tmp_path_factory.mktemp("run"), epochs=12, dropout=0.1)
    return prepared, model.requires_grad_(False)


def test_the_planted_codes_come_out_on_top(learned):
    prepared, model = learned
    batches = batches_of(prepared, Split.TEST)
    effects = compute_effects(model, batches, batches.members, integration_steps=16, progress_label="Explaining")
    rankings = rank_codes(effects, resamples=100, top=3, seed=0)
    planted = evaluate_planted_codes(tuple(PLANTED), prepared.vocabulary.entries, effects, rankings)
    for method in METHODS:
        found = planted.by_importance[method]
        assert (found.k, found.precision) == (3, 1.0)
        assert found.chance < 0.1
        assert planted.by_effect[method].precision == 1.0
        for name in PLANTED:
            place = effects.code.tolist().index(prepared.vocabulary.entries.index(name))
            assert rankings[method].effect[place] > 0.3
            assert rankings[method].top_share[place] > 0.8
