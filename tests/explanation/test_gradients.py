"""Tests of integrated gradients: completeness, and agreement with captum over the entries themselves."""

import sys

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients

from survlstm.data.split import Split
from survlstm.explanation import gradients
from survlstm.explanation.gradients import average_embedding, integrated_gradients, refuse_missing_captum
from survlstm.explanation.model_inputs import log_odds, model_input, visit_embeddings
from survlstm.utils.errors import ConfigError
from tests.explanation.rows import case
from tests.explanation.test_model_inputs import CASES


@CASES
def test_attributions_add_up_to_the_difference_from_the_baseline(clock, max_visits):
    model, batches = case(clock, max_visits=max_visits)
    baseline = average_embedding(model, batches.tensors)
    explained = []
    for subject in batches.members[:5].tolist():
        record = model_input(batches, subject)
        found = integrated_gradients(model, record, baseline=baseline, steps=64)
        entries = model.embedding.weight[record.code]
        visits = [visit_embeddings(each, record, model) for each in (entries, baseline.expand_as(entries))]
        ends = [float(log_odds(model, each[None], record)) for each in visits]
        assert (found.log_odds, found.baseline_log_odds) == pytest.approx(ends, abs=1e-5)
        explained.append(abs(ends[0] - ends[1]))
        # The head's kinks lie on the path; between them the quadrature is exact.
        assert found.attribution.sum() == pytest.approx(ends[0] - ends[1], abs=0.01)
        assert found.delta == pytest.approx(found.attribution.sum() - (ends[0] - ends[1]), abs=1e-5)
    assert max(explained) > 0.2


@pytest.mark.parametrize("clock", ["visit", "landmark"])
def test_integrating_over_visits_is_integrating_over_entries(clock):
    model, batches = case(clock)
    baseline = average_embedding(model, batches.tensors)
    record = model_input(batches, int(batches.members[1]))

    def of_entries(embedded):
        means = torch.stack([visit_embeddings(one, record, model) for one in embedded])
        return log_odds(model, means, record)

    entries = model.embedding.weight[record.code]
    theirs = IntegratedGradients(of_entries).attribute(
        entries[None], baselines=baseline.expand_as(entries)[None], n_steps=20
    )
    ours = integrated_gradients(model, record, baseline=baseline, steps=20)
    np.testing.assert_allclose(ours.attribution, theirs[0].sum(dim=1), atol=1e-6)


def test_few_visits_at_once_change_nothing(monkeypatch):
    model, batches = case("visit")
    baseline = average_embedding(model, batches.tensors)
    record = model_input(batches, int(batches.members[0]))
    whole = integrated_gradients(model, record, baseline=baseline, steps=16)
    monkeypatch.setattr(gradients, "MOST_VISITS", 3 * record.visits)
    cut = integrated_gradients(model, record, baseline=baseline, steps=16)
    np.testing.assert_allclose(cut.attribution, whole.attribution, atol=1e-6)


def test_the_baseline_is_the_mean_over_the_entries_of_the_training_subjects():
    model, batches = case("visit")
    data, entries = batches.tensors, []
    for subject in data.members(Split.TRAIN):
        visits = slice(data.visit_offsets[subject], data.visit_offsets[subject + 1])
        entries.extend(data.code[data.code_offsets[visits.start] : data.code_offsets[visits.stop]].tolist())
    expected = model.embedding.weight[entries].double().mean(dim=0)
    torch.testing.assert_close(average_embedding(model, data).double(), expected, atol=1e-6, rtol=1e-6)


def test_without_captum_a_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(ConfigError, match=r"survlstm explain needs captum: pip install 'survlstm\[explain\]'"):
        refuse_missing_captum()
