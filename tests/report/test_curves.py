"""Where the time axis is labelled, whatever the grid; and the learning curves of a model that starts from a fit."""

import numpy as np
import pytest

from survlstm.report.figures.curves import _spread
from survlstm.report.figures.learning import draw_learning
from survlstm.training.history import Epoch
from tests.report import sample


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


def test_learning_curves_begin_at_the_start():
    history = sample.history()
    plain = [one.caption for one in draw_learning(history)]
    history.start, history.best_epoch = Epoch(0, 2.0, 1.0, 0.9, 0.0, 0.0, 0.0, 0.0), 0
    loss, c_index = draw_learning(history)
    for figure, value in ((loss, 1.0), (c_index, 0.9)):
        (line,) = (one for one in figure.figure.axes[0].lines if one.get_label() == "validation")
        assert (line.get_xdata()[0], line.get_ydata()[0]) == (0, value)
        assert len(line.get_xdata()) == len(history.epochs) + 1
    assert "The best epoch is 0 " in loss.caption
    assert "Epoch 0 is the regression from which training starts." in loss.caption
    assert not any("Epoch 0" in caption for caption in plain)
