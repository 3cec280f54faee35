"""A finished run → one finding for each warning sign of the guide, fine or not, in the order people read them."""

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
    suspected_leakage,
)
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
    cut_histories,
    source_warnings,
)


def run_diagnostics(facts: DiagnosticContext) -> tuple[Finding, ...]:
    """Every check's finding, then those of the sanity_checks; where nothing was trained, training is not spoken of."""
    if facts.history is not None:
        return tuple(check(facts) for check in CHECKS) + facts.sanity_checks
    asked = [check for check in CHECKS if check not in OF_TRAINING]
    return tuple(_of_evaluation(finding) for finding in (*(check(facts) for check in asked), *facts.sanity_checks))


def _of_evaluation(finding: Finding) -> Finding:
    """A evaluation's own settings can be tried at once; all others are keys of survlstm train."""
    advice = tuple(
        said if "=" not in said or said.startswith("evaluation") else f"train again with {said}"
        for said in finding.advice
    )
    return replace(finding, advice=advice)
