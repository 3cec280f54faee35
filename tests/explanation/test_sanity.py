"""Tests of the check of explanations against models with shuffled weights."""

import copy

import torch

from survlstm.explanation.effects import GRADIENTS, METHODS, OCCLUSION, compute_effects
from survlstm.explanation.sanity_checks import RandomizationCheck, check_randomization, copy_with_shuffled_weights
from tests.explanation.rows import case


def test_a_shuffled_copy_has_the_same_numbers_in_other_places():
    model, _ = case("visit")
    before = copy.deepcopy(model.state_dict())
    shuffled = copy_with_shuffled_weights(model, torch.Generator().manual_seed(0)).state_dict()
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, before[name])
        assert torch.equal(weight.flatten().sort().values, shuffled[name].flatten().sort().values)
        assert weight.numel() == 1 or not torch.equal(weight, shuffled[name])


def test_shuffled_copies_agree_with_no_model_but_themselves():
    model, batches = case("visit")
    settings = {"integration_steps": 4, "shuffles": 3, "seed": 5}
    found = compute_effects(model, batches, batches.members, integration_steps=4, progress_label="Explaining")
    sanity = check_randomization(model, batches, found, **settings)
    assert sanity.codes == ((found.present.sum(axis=0) >= 5).sum())
    assert all(len(sanity.correlations[method]) == 3 for method in METHODS)
    assert max(abs(value) for method in METHODS for value in sanity.correlations[method]) < 0.8
    # Its own effects are those of a model that was shuffled: the first copy is that model again.
    first = copy_with_shuffled_weights(model, torch.Generator().manual_seed(5))
    same = compute_effects(first, batches, batches.members, integration_steps=4, progress_label="Explaining")
    again = check_randomization(model, batches, same, **settings)
    assert all(again.correlations[method][0] > 0.999 for method in METHODS)


def test_the_sentence_of_the_check():
    sanity = RandomizationCheck(40, {GRADIENTS: (0.1, -0.2, 0.25), OCCLUSION: (-0.6, -0.5, -0.4)})
    assert sanity.passes(GRADIENTS)
    assert not sanity.passes(OCCLUSION)
    assert sanity.sentence(GRADIENTS) == (
        "integrated gradients: rank correlation of the effects with those of models with shuffled weights +0.05 (mean "
        "of 3 copies, -0.20 to +0.25; 40 codes): the explanation depends on what the model has learned"
    )
    assert "shuffled weights -0.50 (mean of 3 copies" in sanity.sentence(OCCLUSION)
    assert "its absolute value must be below 0.3" in sanity.sentence(OCCLUSION)


def test_too_few_codes_to_compare_are_reported():
    sanity = RandomizationCheck(2, {GRADIENTS: (float("nan"),)})
    assert not sanity.passes(GRADIENTS)
    assert "no check against shuffled weights, because only 2 codes" in sanity.sentence(GRADIENTS)
