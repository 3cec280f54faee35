"""What is advised, and what is not: nothing that is in force already."""

from dataclasses import replace

import numpy as np
import pytest

from survlstm.evaluation.diagnostics import advice
from survlstm.runs.evaluation_settings import run_settings
from tests.evaluation.diagnostics.finished_runs import (
    GUIDE_106,
    GUIDE_1000,
    config_of,
    context_of,
    found,
    guides_own_story,
    history_of,
    verdict_of,
)


def test_a_c_index_is_not_improved_by_a_larger_model_where_it_is_too_large_already():
    history = replace(context_of().run.history, parameters_per_subject=13_000.0)
    low = verdict_of(0.5)
    assert "model.hidden_dim=512" in found("C-index on test", context_of(summary=low)).advice
    advised = found("C-index on test", context_of(summary=low, history=history)).advice
    assert advised == ("optimizer.lr=0.0001", "data.simulated.patients=2246")


def test_more_epochs_are_advised_where_the_last_ones_were_the_best():
    low = verdict_of(0.5)
    assert "trainer.epochs=200" not in found("C-index on test", context_of(summary=low)).advice
    improving = context_of(summary=low, history=history_of(np.linspace(2.5, 2.2, 20)))
    assert "trainer.epochs=200" in found("C-index on test", improving).advice


def test_advice_names_only_what_is_not_in_force():
    words = (*GUIDE_1000, "model.dropout=0.6", "optimizer.weight_decay=0.01", "trainer.early_stopping.patience=3")
    finding = found("validation loss", context_of(*words, history=guides_own_story("all 50 epochs done")), *words)
    assert finding.advice == ("data.simulated.patients=2246",)


def test_a_small_model_is_made_narrower():
    history = replace(context_of().run.history, parameters_per_subject=9000.0)
    words = (*GUIDE_106, "model=lstm_small")
    assert "model.hidden_dim=64" in found("model size", context_of(*words, history=history), *words).advice


def test_what_is_called_small_is_lstm_small():
    small = config_of("model=lstm_small").model
    assert {size: getattr(small, size) for size in advice.SMALL} == advice.SMALL


@pytest.mark.parametrize(
    ("words", "advised"),
    [
        (("data=tiny",), "data=cohort_1000"),
        (GUIDE_106, "data=cohort_1000"),
        (GUIDE_1000, "data.simulated.patients=2246"),
        (("data=synthea", "data.path=/tmp"), "a larger export in data.path"),
        (("data=cohort_1000", "data.path=/tmp"), "a larger export in data.path"),
    ],
)
def test_a_larger_cohort(words, advised):
    assert advice.larger_cohort(run_settings(config_of(*words))) == (advised,)
