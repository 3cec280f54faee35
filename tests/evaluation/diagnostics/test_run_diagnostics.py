"""run_diagnostics on values made by hand: all checks of a run."""

from survlstm.evaluation.diagnostics import CHECKS, OF_TRAINING, run_diagnostics
from survlstm.evaluation.results import Finding
from tests.evaluation.diagnostics.finished_runs import context_of


def test_a_healthy_run_of_the_guide_warns_of_nothing():
    sanity_check = Finding("sanity check", "ok", "It passes.", "numbers")
    findings = run_diagnostics(context_of(), sanity_checks=(sanity_check,))
    assert {one.level for one in findings} == {"ok"}
    # With the sanity check, and without the comparison with a regression, from which this model does not start.
    assert len(findings) == len(CHECKS) + 1 - 1
    assert findings[-1] == sanity_check
    assert len({one.check for one in findings}) == len(findings)
    for one in findings:
        assert one.finding.endswith(".")
        assert one.finding[0].isupper()
        assert one.evidence


def test_where_nothing_was_trained_training_is_not_spoken_of():
    findings = run_diagnostics(context_of(history=None))
    assert len(findings) == len(CHECKS) - len(OF_TRAINING)
    assert not {"validation loss", "model size", "C-index on validation"} & {one.check for one in findings}
