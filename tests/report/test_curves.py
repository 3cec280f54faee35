"""Where the time axis is labelled, whatever the grid."""

import numpy as np
import pytest

from survlstm.report.figures.curves import _spread


@pytest.mark.parametrize(
    ("times", "labelled"),
    [
        (np.arange(1.0, 21.0), [4, 8, 12, 16, 20]),
        (np.array([7.0]), [7]),
        (np.array([1.0, 2.0]), [1, 2]),
        (np.array([110.0, 332.0, 500.0, 758.0, 1231.0, 1388.0, 1825.0]), [332, 758, 1388, 1825]),
    ],
)
def test_labels_are_spread_and_not_crowded(times, labelled):
    assert times[_spread(times, 5)].tolist() == labelled
