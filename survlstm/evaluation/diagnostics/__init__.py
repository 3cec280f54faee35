"""A finished run → one finding for each warning sign of the guide, fine or not, in the order people read them."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from survlstm.evaluation.diagnostics.context import HealthFacts
from survlstm.evaluation.diagnostics.data_checks import (
    cut_histories,
    event_rate,
    interval_censoring,
    leak_suspects,
    risk_time_correlation,
    source_warnings,
)
from survlstm.evaluation.diagnostics.ranking_checks import (
    best_baseline,
    horizons,
    judged_c_index,
    judged_events,
    record_length,
    validation_c_index,
)
from survlstm.evaluation.diagnostics.training_checks import (
    TIMED,
    finite,
    not_finite,
    proportion,
    speed,
    still_improving,
    validation_loss,
    validation_trend,
)
from survlstm.evaluation.results import Finding

Check: TypeAlias = Callable[[HealthFacts], Finding]

OF_TRAINING: tuple[Check, ...] = (
    validation_c_index,
    validation_loss,
    validation_trend,
    finite,
    still_improving,
    speed,
    proportion,
)
CHECKS: tuple[Check, ...] = (
    judged_c_index,
    best_baseline,
    record_length,
    *OF_TRAINING,
    judged_events,
    horizons,
    risk_time_correlation,
    event_rate,
    interval_censoring,
    leak_suspects,
    cut_histories,
    source_warnings,
)


def check_health(facts: HealthFacts) -> tuple[Finding, ...]:
    """Every check's finding, then those of the canaries; where nothing was trained, training is not spoken of."""
    if facts.history is not None:
        return tuple(check(facts) for check in CHECKS) + facts.canaries
    asked = [check for check in CHECKS if check not in OF_TRAINING]
    return tuple(_of_evaluation(finding) for finding in (*(check(facts) for check in asked), *facts.canaries))


def _of_evaluation(finding: Finding) -> Finding:
    """A judgement's own settings can be tried at once; all others are keys of survlstm train."""
    advice = tuple(
        said if "=" not in said or said.startswith("judgement") else f"train again with {said}"
        for said in finding.advice
    )
    return replace(finding, advice=advice)


__all__ = ["CHECKS", "TIMED", "HealthFacts", "check_health", "not_finite"]
