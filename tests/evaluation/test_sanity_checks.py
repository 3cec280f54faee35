"""The canaries of a run: each lives on a sound model and dies of the leak or the convention it stands for."""

import functools

import numpy as np
import pytest
import torch
from torch import nn

from survlstm.config.compose import check_overrides
from survlstm.config.schema.run import RunConfig
from survlstm.data.batches import Batches
from survlstm.data.outcomes.synthetic import SyntheticOutcome
from survlstm.data.prepare import prepare_uncached
from survlstm.data.split import Split
from survlstm.evaluation import sanity_checks
from survlstm.evaluation.results import (
    Difference,
    Estimate,
    EvaluationSummary,
    Interval,
    LandmarkResult,
    LandmarkRow,
    StepRow,
)
from survlstm.evaluation.sanity_checks import (
    constant_hazards_score_half,
    hazards_are_causal,
    oracle_is_unbeaten,
    random_hazards_score_half,
    random_outcome_scores_half,
    run_sanity_checks,
)
from survlstm.models.lstm import DiscreteTimeSurvivalLSTM
from survlstm.runs.evaluation_settings import evaluation_settings
from survlstm.survival.concordance import Concordance
from survlstm.utils.ragged import flat_positions
from tests.records import SETTINGS, RecordsSource, events_of, random_records

CPU = torch.device("cpu")
FEATURES = tuple(range(5))


class Peeking(nn.Module):
    """A model whose every hazard knows how long its row is: what a bidirectional reading would bring."""

    def __init__(self, sound, strength):
        super().__init__()
        self.sound, self.strength = sound, strength

    def forward(self, inputs):
        logits = self.sound(inputs)
        visits_per_row = inputs.visits_per_row
        known = torch.zeros_like(logits)
        known[inputs.slot] = visits_per_row.repeat_interleave(visits_per_row).to(known.dtype)
        return logits + self.strength * known


@functools.cache
def config_of(*words):
    (config,) = check_overrides("train", list(words), RunConfig)
    return config


@pytest.fixture(scope="module")
def prepared():
    outcome = SyntheticOutcome(0.7, 1.7, 0.4, 0.4, 0.2, 1 / 60, seed=0, planted_codes=[])
    return prepare_uncached(RecordsSource(events_of(random_records(300, seed=0))), outcome, SETTINGS)


@pytest.fixture(scope="module")
def model(prepared):
    torch.manual_seed(0)
    return DiscreteTimeSurvivalLSTM(
        vocabulary_size=len(prepared.vocabulary),
        embedding_dim=8,
        hidden_dim=16,
        num_layers=2,
        dropout=0.5,
        visit_features=5,
        intervals=None,
        mean_hazard=(0.1,),
    )


def batches_of(prepared, *, part=Split.TEST, batch_size=8, max_visits=None):
    return Batches(prepared.tensors, prepared.tensors.members(part), batch_size, FEATURES, max_visits)


@pytest.mark.parametrize("part", [Split.TEST, Split.TRAIN])
@pytest.mark.parametrize("batch_size", [1, 8, 64])
@pytest.mark.parametrize("max_visits", [None, 2, 3, 4, 7])
def test_a_causal_model_is_found_to_be_one(prepared, model, max_visits, batch_size, part):
    finding = hazards_are_causal(
        model, batches_of(prepared, part=part, batch_size=batch_size, max_visits=max_visits), CPU
    )
    assert finding.level == "ok", finding
    assert finding.evidence.startswith("32 subjects, ")
    # Single precision alone stays well under the tolerance.
    assert float(finding.evidence.split("largest difference ")[1].split(",")[0]) < sanity_checks.TOLERANCE / 5


@pytest.mark.parametrize("strength", [1e-3, 1.0, np.nan])
def test_a_model_that_knows_the_length_of_the_record_is_caught(prepared, model, strength):
    finding = hazards_are_causal(Peeking(model, strength), batches_of(prepared), CPU)
    assert finding.level == "failure"
    assert "reads later visits" in finding.finding


def test_windows_counted_from_the_end_of_the_record_are_caught(prepared, model, monkeypatch):
    """As "the most recent visits" they tell every hazard how far away the end is."""
    from survlstm.data import batches
    from survlstm.data.batches import Windows

    def from_the_end(visits, max_visits):
        number_of = -(-visits // max_visits)
        owner = np.repeat(np.arange(len(visits)), number_of)
        number = flat_positions(np.zeros_like(number_of), number_of)
        start = np.maximum(visits[owner] - (number_of[owner] - number) * max_visits, 0)
        stop = visits[owner] - (number_of[owner] - number - 1) * max_visits
        return Windows(owner, start, stop - start, np.zeros_like(owner))

    monkeypatch.setattr(batches, "make_windows", from_the_end)
    finding = hazards_are_causal(model, batches_of(prepared, max_visits=4), CPU)
    assert finding.level == "failure"


def test_subjects_of_one_step_decide_nothing(prepared, model):
    batches = batches_of(prepared)
    single = Batches(prepared.tensors, batches.members[prepared.tensors.step[batches.members] == 0], 8, FEATURES)
    if not len(single.members):
        pytest.fail("the records must hold a subject with one step")
    finding = hazards_are_causal(model, single, CPU)
    assert (finding.level, finding.finding) == ("note", "Not decidable: no subject has a second step.")


def labels(seed=0, subjects=200):
    """Heavy-tailed follow-up; the event comes with the same hazard to everybody."""
    generator = np.random.default_rng(seed)
    follow_up = np.minimum(generator.geometric(1 / generator.gamma(1, 20, subjects).clip(2)), 60) - 1
    event_step = generator.geometric(0.05, subjects) - 1
    return np.minimum(event_step, follow_up), event_step <= follow_up


def test_constant_hazards():
    assert constant_hazards_score_half(*labels()).level == "ok"
    nobody = constant_hazards_score_half(np.array([3, 4]), np.array([False, False]))
    assert (nobody.level, nobody.finding) == ("note", "Not decidable: no two subjects can be compared.")


@pytest.mark.parametrize("seed", range(5))
def test_random_hazards(seed):
    finding = random_hazards_score_half(*labels(seed), seed=seed)
    assert finding.level == "ok"
    assert "over 100 draws" in finding.evidence


@pytest.mark.parametrize(("step", "event"), [([3, 4], [False, False]), ([3, 3], [True, True])])
def test_random_hazards_without_a_pair(step, event):
    finding = random_hazards_score_half(np.array(step), np.array(event), seed=0)
    assert (finding.level, finding.finding) == ("note", "Not decidable: no two subjects can be compared.")


def test_a_biased_c_index_kills_both(monkeypatch):
    def biased(survival, *, step, event):
        """About 0.52, whoever is ranked."""
        return Concordance(float(0.52 + 0.001 * survival[0, 0]), 100, 52, 0)

    monkeypatch.setattr(sanity_checks, "concordance_td", biased)
    assert constant_hazards_score_half(*labels()).level == "failure"
    finding = random_hazards_score_half(*labels(), seed=0)
    assert finding.level == "failure"
    assert "the C-index is biased" in finding.finding


def verdict_of(c_td=0.7, *, half=0.06, clock="visit", c_gain=None, nll_gain=None, ibs_gain=None, oracle=True):
    interval = None if half is None else Interval(c_td - half, c_td + half)
    rows = [StepRow("model", "model", Estimate(c_td, interval), Estimate(2.3), None, None)]
    if oracle:
        rows.append(StepRow("oracle", "oracle", Estimate(0.8), Estimate(2.2), c_gain, nll_gain))
    landmark_row = LandmarkRow("oracle", "oracle", (), None, None, ibs_gain, None)
    landmark = LandmarkResult("visit 5", "steps", 100, 60, 8.0, 40.0, (), (), (), (), (landmark_row,), (), ())
    return EvaluationSummary(clock, "test", 180, 120, 9000, tuple(rows), (landmark,) if oracle else (), (), (), (), {})


def gain(value, half):
    return Difference(value, Interval(value - half, value + half), 0.5)


@pytest.mark.parametrize(
    ("c_td", "level", "words"),
    [
        (0.5, "ok", "finds nothing"),
        (0.425, "ok", "finds nothing"),
        (0.62, "failure", "a leak"),
        (0.38, "failure", "a leak"),
    ],
)
def test_a_random_outcome(c_td, level, words):
    finding = random_outcome_scores_half(verdict_of(c_td), 0.95, random_outcome=True)
    assert finding.level == level
    assert words in finding.finding
    assert "standard error 0.031" in finding.evidence
    for said in finding.advice:
        config_of(*said.split())


def test_the_standard_error_follows_the_confidence_of_the_interval():
    finding = random_outcome_scores_half(verdict_of(0.5), 0.6826894921370859, random_outcome=True)
    assert "standard error 0.060" in finding.evidence


def test_a_random_outcome_is_asked_for_only_where_it_is_one():
    finding = random_outcome_scores_half(verdict_of(0.9), 0.95, random_outcome=False)
    assert finding.finding.startswith("Does not apply")
    # Counted in days it does not ignore history: who comes often has more steps in a year.
    assert random_outcome_scores_half(verdict_of(0.9, clock="landmark"), 0.95, random_outcome=True).level == "ok"
    finding = random_outcome_scores_half(verdict_of(0.9, half=None), 0.95, random_outcome=True)
    assert (finding.level, finding.finding) == ("note", "Not decidable: there is no interval.")


@pytest.mark.parametrize(
    ("gains", "level", "words"),
    [
        (
            {"c_gain": gain(-0.03, 0.02), "nll_gain": gain(0.1, 0.05), "ibs_gain": gain(0.01, 0.01)},
            "ok",
            "does not beat",
        ),
        ({"c_gain": gain(0.01, 0.02), "nll_gain": gain(-0.01, 0.05)}, "ok", "does not beat"),
        ({"c_gain": gain(0.03, 0.02)}, "note", "(C-index), but by less than three"),
        ({"c_gain": gain(0.05, 0.02)}, "failure", "(C-index): it knows more than its inputs tell"),
        ({"nll_gain": gain(-0.05, 0.02)}, "failure", "(nll): it knows"),
        # From a landmark the oracle's hazard is carried on: being better there proves nothing.
        ({"c_gain": gain(-0.03, 0.02), "ibs_gain": gain(-0.05, 0.02)}, "ok", "does not beat"),
    ],
)
def test_the_oracle(gains, level, words):
    finding = oracle_is_unbeaten(verdict_of(**gains), 0.95)
    assert finding.level == level, finding
    assert words in finding.finding
    assert "advantage" in finding.evidence


def test_an_advantage_is_written_in_the_models_favour():
    finding = oracle_is_unbeaten(verdict_of(nll_gain=gain(-0.05, 0.02)), 0.95)
    assert finding.evidence == "nll: advantage +0.0500 (+0.0300 to +0.0700)"


def test_without_an_oracle_or_an_interval():
    assert oracle_is_unbeaten(verdict_of(oracle=False), 0.95).level == "ok"
    finding = oracle_is_unbeaten(verdict_of(), 0.95)
    assert (finding.level, finding.finding) == ("note", "Not decidable: there is no interval.")


def test_all_of_them(prepared, model):
    config = config_of()
    found = run_sanity_checks(
        model,
        batches_of(prepared),
        CPU,
        summary=verdict_of(c_gain=gain(-0.1, 0.02)),
        settings=evaluation_settings(config.evaluation, seed=config.seed),
        random_outcome=False,
    )
    assert [one.level for one in found] == ["ok"] * 5
    assert len({one.check for one in found}) == 5
    assert all(one.check.startswith("sanity check: ") for one in found)
