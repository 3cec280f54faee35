"""Tests that occlusion equals the model's own prediction for a record without the code."""

import numpy as np
import pytest

from survlstm.explanation import occlusion
from survlstm.explanation.model_inputs import model_input
from survlstm.explanation.occlusion import occlude
from tests.explanation.rows import case, forward
from tests.explanation.test_model_inputs import CASES


@CASES
def test_an_effect_is_the_record_with_the_code_minus_the_record_without_it(clock, max_visits):
    model, batches = case(clock, max_visits=max_visits)
    emptied = 0
    for subject in batches.members[:8].tolist():
        record = model_input(batches, subject)
        found = occlude(model, batches, subject)
        codes, visit = record.code.numpy(), record.visit.numpy()
        np.testing.assert_array_equal(found.code, np.unique(codes))
        assert found.log_odds == pytest.approx(forward(model, record), abs=1e-5)
        for code, effect, entries, last in zip(found.code, found.effect, found.entries, found.last_visit, strict=True):
            without = forward(model, record, kept=codes != code)
            assert effect == pytest.approx(found.log_odds - without, abs=2e-5)
            assert entries == (codes == code).sum()
            assert last == record.first_visit + visit[codes == code].max()
            emptied += len(set(visit[codes != code].tolist())) < record.visits
    assert emptied


def test_blocks_of_codes_change_nothing(monkeypatch):
    model, batches = case("visit")
    subject = int(batches.members[0])
    whole = occlude(model, batches, subject)
    monkeypatch.setattr(occlusion, "MOST_VISITS", 30)
    cut = occlude(model, batches, subject)
    np.testing.assert_allclose(cut.effect, whole.effect, atol=1e-5)
    assert len(whole.code) * batches.visits(np.array([subject]))[0] > 60


def test_a_model_in_training_mode_is_read_without_dropout():
    model, batches = case("visit")
    subject = int(batches.members[0])
    expected = occlude(model, batches, subject)
    np.testing.assert_array_equal(occlude(model.train(), batches, subject).effect, expected.effect)
