"""Tests that the log-odds after each visit are those of the record up to that visit."""

import numpy as np
import pytest

from survlstm.explanation.model_inputs import ModelInput
from survlstm.explanation.risk_over_time import explain_risk_over_time
from tests.explanation.rows import case, forward
from tests.explanation.test_model_inputs import CASES


def first_visits(record: ModelInput, visits):
    kept = record.visit < visits
    return record._replace(
        time=record.time[:visits],
        days=record.days[:visits],
        code=record.code[kept],
        visit=record.visit[kept],
        features=record.features[:visits],
    )


@CASES
def test_the_trajectory_does_not_depend_on_later_visits(clock, max_visits):
    model, batches = case(clock, max_visits=max_visits)
    subject = int(batches.members[batches.visits(batches.members).argmax()])
    found = explain_risk_over_time(model, batches, subject, integration_steps=8)
    assert len(found.trajectory) == found.record.visits > 2
    assert found.trajectory[-1] == pytest.approx(found.occlusion.log_odds, abs=1e-5)
    # Earlier hazards of a window count in the windows before it, which look further back.
    counted = range(1, found.record.visits + 1) if max_visits is None or clock == "landmark" else []
    for visits in counted:
        assert found.trajectory[visits - 1] == pytest.approx(
            forward(model, first_visits(found.record, visits)), abs=1e-5
        )


def test_with_windows_the_trajectory_is_what_is_predicted():
    model, batches = case("visit", max_visits=6)
    subject = int(batches.members[batches.visits(batches.members).argmax()])
    found = explain_risk_over_time(model, batches, subject, integration_steps=8)
    batch = batches.collate(np.array([subject]))
    predicted = model(batch.inputs)[batch.inputs.slot][batch.at_risk[batch.inputs.slot]]
    assert found.record.first_visit > 0
    np.testing.assert_allclose(found.trajectory, predicted[found.record.first_visit :], atol=1e-6)


def test_cells_hold_every_entry_once():
    model, batches = case("visit")
    found = explain_risk_over_time(model, batches, int(batches.members[0]), integration_steps=8)
    assert found.cell_entries.sum() == len(found.record.code)
    assert found.cell_attribution.sum() == pytest.approx(found.gradients.attribution.sum())
    cells = np.stack([found.cell_visit, found.cell_code])
    assert (np.unique(cells, axis=1) == cells).all()
    visit, code = found.record.visit.numpy(), found.record.code.numpy()
    here = (visit == found.cell_visit[3]) & (code == found.cell_code[3])
    assert found.cell_attribution[3] == pytest.approx(found.gradients.attribution[here].sum())
    assert found.cell_entries[3] == here.sum()
