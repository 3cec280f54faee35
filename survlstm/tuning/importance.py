"""Importance of each dimension of a search."""

from __future__ import annotations

import warnings

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.importance import FanovaImportanceEvaluator, get_param_importances

from survlstm.report.formatting import format_count
from survlstm.tuning.config import TuneConfig
from survlstm.tuning.trial_table import TrialSlot

# With fewer trials the importances depend mostly on the draw.
FEWEST = 10


def why_no_importances(found: list[TrialSlot]) -> str:
    """Explain why importances can't be computed.

    Args:
        found: All trials of the search.

    Returns:
        The reason, a sentence; empty if importances can be computed.
    """
    complete = [place for place in found if place.state == "complete"]
    if len(complete) < FEWEST:
        return (
            f"Importances need {FEWEST} complete trials; there {'is' if len(complete) == 1 else 'are'} {len(complete)}."
        )
    if len({place.deciding.value for place in complete}) == 1:
        return f"Importances need trials that differ; all {format_count(len(complete), 'trial')} came out the same."
    return ""


def importances(study: optuna.Study, config: TuneConfig) -> dict[str, float]:
    """Compute the share of the metric's variance that each dimension of the search space explains.

    Functional ANOVA on a seeded random forest (Hutter, Hoos & Leyton-Brown 2014). Optuna's default, PED-ANOVA, explains
    what distinguishes the best tenth of the trials, which is only a handful in a search of some tens.

    Args:
        study: The study; its complete trials are used, see ``why_no_importances``.
        config: The config of the search.

    Returns:
        The share of each key, the largest first; the shares add up to 1.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        evaluator = FanovaImportanceEvaluator(seed=config.seed)
        return get_param_importances(study, evaluator=evaluator, params=list(config.space))
