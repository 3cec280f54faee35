"""The percentile of a risk among the risks of the training subjects."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import rankdata

from survlstm.inference.bundle.bundle import ReferencePredictions


def reference_of(risk):
    return ReferencePredictions(risk=risk, grid=[1.0], horizons=[1.0], drift=None, tables=[])


@pytest.mark.parametrize(
    ("known", "percentiles"),
    [
        (np.linspace(0.1, 0.9, 9).tolist(), {0.0: 0, 0.1: 0, 0.5: 50, 0.55: 56.25, 0.9: 100, 1.0: 100}),
        # 0.2 has the positions 0 to 3, and 0.4 has position 4.
        ([0.2, 0.2, 0.2, 0.2, 0.4], {0.1: 0, 0.2: 37.5, 0.3: 87.5, 0.4: 100, 0.5: 100}),
        # 0.2 has the positions 1 to 2, and 0.6 has 3 to 6, of 0 to 8.
        (
            [0.1, 0.2, 0.2, 0.6, 0.6, 0.6, 0.6, 0.7, 0.8],
            {0.15: 6.25, 0.2: 18.75, 0.3: 28.125, 0.5: 34.375, 0.6: 56.25, 0.65: 81.25, 0.8: 100},
        ),
        ([0.1] * 500 + [0.2] * 501, {0.09: 0, 0.1: 24.95, 0.1001: 49.9001, 0.1999: 49.9999, 0.2: 75, 0.21: 100}),
        ([0.3, 0.3], {0.1: 0, 0.3: 50, 0.5: 100}),
        ([0.0, 0.0, 1.0, 1.0], {0.0: 100 / 6, 0.5: 50, 1.0: 500 / 6}),
    ],
)
def test_a_percentile_is_the_place_among_the_risks_known(known, percentiles):
    found = reference_of(known).percentile(np.array(list(percentiles)))
    np.testing.assert_allclose(found, list(percentiles.values()), atol=1e-9)


SHARES = st.integers(0, 40).map(lambda number: number / 40) | st.floats(0, 1)


@example([0.0, 2.2250738585e-313], [5e-324])
@given(st.lists(SHARES, min_size=2, max_size=30), st.lists(SHARES, min_size=1, max_size=30))
def test_a_percentile_never_falls_and_is_the_middle_rank_of_a_risk_that_is_known(known, risks):
    known = np.sort(known)
    reference = reference_of(known.tolist())
    np.testing.assert_allclose(reference.percentile(known), 100 * (rankdata(known) - 1) / (len(known) - 1), atol=1e-9)
    asked = np.sort([*known, *risks])
    found = reference.percentile(asked)
    assert (np.diff(found) >= -1e-9).all()
    assert (found[asked < known[0]] == 0).all()
    assert (found[asked > known[-1]] == 100).all()
