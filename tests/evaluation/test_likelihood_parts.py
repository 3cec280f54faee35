"""Shares of the parts of a model in its likelihood, by hand."""

import numpy as np
import pytest

from survlstm.evaluation.baselines.hazards import COVARIATE_FREE
from survlstm.evaluation.bootstrap import Bootstrap
from survlstm.evaluation.likelihood_parts import describe_parts, likelihood_parts
from survlstm.evaluation.results import Estimate, LikelihoodParts, StepRow

ROWS = [StepRow(COVARIATE_FREE, "baseline", Estimate(0.5), Estimate(2.0), None, None)]
MODEL, LINEAR = np.array([1.0, 1.0, 2.0, 1.0]), np.array([1.5, 1.5, 2.0, 1.0])


def parts(*, subject=(0, 1, 2, 3), events=40):
    bootstrap = Bootstrap(resamples=200, confidence=0.95, min_events=30, seed=0)
    return likelihood_parts(MODEL, LINEAR, np.array(subject), rows=ROWS, events=events, bootstrap=bootstrap)


def test_the_gains_add_up_to_that_of_the_model():
    found = parts()
    assert found.linear == pytest.approx(2.0 - LINEAR.mean())
    assert found.linear + found.network == pytest.approx(2.0 - MODEL.mean())
    assert 0 <= found.interval.low < found.network < found.interval.high <= 0.5


def test_subjects_are_resampled_with_all_their_rows():
    # Each resample has both subjects or one of them twice: gains of 0.5, 0 and their mean.
    two = parts(subject=(0, 0, 1, 1)).interval
    assert (two.low, two.high) == (0.0, 0.5)


def test_too_few_events_give_no_interval():
    assert parts(events=29).interval is None


def test_the_sentence_has_both_shares():
    found = describe_parts(LikelihoodParts(0.5, 0.01, None), unit="subject")
    assert "in nats per subject: +0.500 from the linear part alone, and +0.010 more from the network." in found
