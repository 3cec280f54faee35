"""Diagnostic checks of an evaluated run, among them all warning signs of docs/training_guide.md.

Every check has the type ``Check``. Its only argument is the ``DiagnosticContext``, the evaluated run and its settings.
It returns one ``Finding``: the level is "ok" if the check passed or does not apply to the run, the evidence holds the
numbers that were compared, and the advice says what to change, as overrides where the configuration can express it. The
checks of ``OF_TRAINING`` read the history and are run only if there is one.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from survlstm.evaluation.diagnostics.context import DiagnosticContext
from survlstm.evaluation.diagnostics.data_checks import (
    cut_histories,
    event_rate,
    interval_censoring,
    risk_time_correlation,
    source_warnings,
)
from survlstm.evaluation.diagnostics.leak_checks import suspected_leakage, telling_years
from survlstm.evaluation.diagnostics.ranking_checks import (
    best_baseline,
    event_count,
    record_length,
    test_c_index,
    unsupported_horizons,
    validation_c_index,
)
from survlstm.evaluation.diagnostics.training_checks import (
    exploding_gradients,
    improvement_on_start,
    parameters_per_subject,
    seconds_per_epoch,
    still_improving,
    validation_loss,
    validation_trend,
)
from survlstm.evaluation.results import Finding

Check: TypeAlias = Callable[[DiagnosticContext], Finding]

OF_TRAINING: tuple[Check, ...] = (
    validation_c_index,
    validation_loss,
    validation_trend,
    improvement_on_start,
    exploding_gradients,
    still_improving,
    seconds_per_epoch,
    parameters_per_subject,
)
CHECKS: tuple[Check, ...] = (
    test_c_index,
    best_baseline,
    record_length,
    *OF_TRAINING,
    event_count,
    unsupported_horizons,
    risk_time_correlation,
    event_rate,
    interval_censoring,
    suspected_leakage,
    telling_years,
    cut_histories,
    source_warnings,
)


def run_diagnostics(context: DiagnosticContext, *, sanity_checks: tuple[Finding, ...] = ()) -> tuple[Finding, ...]:
    """Run every check that applies to a run.

    Args:
        context: The evaluated run and its settings. Without a history the checks of training are left out, and advice
            that needs training says so.
        sanity_checks: Findings of ``run_sanity_checks``, put last.

    Returns:
        One finding for each check, passed or not, in the order in which the page lists them. A model that does not
        start from a regression is not compared with one.
    """
    if context.run.history is not None:
        left_out = () if context.run.history.start is not None else (improvement_on_start,)
        return tuple(check(context) for check in CHECKS if check not in left_out) + sanity_checks
    checks = [check for check in CHECKS if check not in OF_TRAINING]
    return tuple(_of_evaluation(finding) for finding in (*(check(context) for check in checks), *sanity_checks))


def _of_evaluation(finding: Finding) -> Finding:
    """Say of every override that is no setting of the evaluation that it needs a new training."""
    advice = tuple(
        advised if "=" not in advised or advised.startswith("evaluation") else f"train again with {advised}"
        for advised in finding.advice
    )
    return replace(finding, advice=advice)
