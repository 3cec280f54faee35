"""Design matrices of the baselines, by hand."""

import numpy as np
import pytest

from survlstm.data import code_counts
from survlstm.data.code_counts import (
    CountRows,
    fit_scale,
    rows_at_landmark,
    rows_at_visits,
)
from survlstm.data.split import Split
from tests.evaluation.baselines.coded_cohorts import cohort
from tests.tensors import tensors_from

# Two subjects with three and two visits.
RECORDS = [[[2, 2, 3], [3], [4, 2]], [[5], [5, 5]]]


@pytest.fixture
def tensors():
    return tensors_from(RECORDS, step=[2, 1], event=[True, False], features=np.arange(25).reshape(5, 5))


def test_a_row_of_a_visit_has_its_own_codes(tensors):
    rows = rows_at_visits(tensors)
    np.testing.assert_array_equal(
        np.expm1(rows.code_counts.toarray()).round(12),
        [[0, 0, 2, 1, 0, 0], [0, 0, 0, 1, 0, 0], [0, 0, 1, 0, 1, 0], [0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 2]],
    )
    np.testing.assert_array_equal(rows.numbers[1], [5, 6, 7, 8, 9])
    np.testing.assert_array_equal(rows.at(np.array([3, 1])).numbers, rows.numbers[[3, 1]])


def test_a_row_of_a_landmark_has_the_codes_of_every_visit_up_to_it_and_of_none_behind(tensors):
    rows = rows_at_landmark(tensors, np.array([1, 0]), np.array([4, 1]))
    np.testing.assert_array_equal(
        np.expm1(rows.code_counts.toarray()).round(12), [[0, 0, 0, 0, 0, 3], [0, 0, 2, 2, 0, 0]]
    )
    np.testing.assert_allclose(rows.numbers, rows_at_visits(tensors).numbers[[4, 1]])


def test_the_scale_is_fitted_to_the_rows_given(tensors, monkeypatch):
    monkeypatch.setattr(code_counts, "MIN_ROWS", 2)
    rows = rows_at_visits(tensors)
    training = rows.at(np.arange(3))
    scale = fit_scale(training)
    np.testing.assert_array_equal(scale.kept, [2, 3])
    design = scale.design(training).toarray()
    np.testing.assert_allclose(design[:, :5].mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(design[:, :5].std(axis=0), 3)
    np.testing.assert_allclose(design[:, 5:], np.log1p([[2, 1], [0, 1], [1, 0]]))
    # The other subject's features go on where those of the first one end: 10, 15, 20 after 0, 5, 10.
    np.testing.assert_allclose(scale.design(rows).toarray()[3, 0], 3 * (15 - 5) / np.std([0, 5, 10]))


def test_a_number_that_never_varies_in_training_is_zero_everywhere(tensors):
    rows = rows_at_visits(tensors)
    constant = CountRows(np.full((5, 1), 0.1), rows.code_counts)
    scale = fit_scale(constant)
    assert scale.design(CountRows(np.full((5, 1), 7.0), rows.code_counts))[:, [0]].nnz == 0


def test_the_training_rows_alone_decide():
    tensors, _ = cohort(100)
    subject = tensors.members(Split.TRAIN)
    rows = rows_at_landmark(tensors, subject, tensors.visit_offsets[subject])
    scale = fit_scale(rows)
    assert scale.design(rows).shape == (len(subject), 8 + len(scale.kept))
    assert (rows.code_counts[:, scale.kept].count_nonzero(axis=0) >= code_counts.MIN_ROWS).all()
