"""Complete trials → how much of the metric's variance each dimension explains, or why that can't be told yet."""

from __future__ import annotations

import warnings

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.importance import FanovaImportanceEvaluator, get_param_importances

from survlstm.report.formatting import format_count
from survlstm.tuning.config import TuneConfig
from survlstm.tuning.trial_table import TrialSlot

# A forest on fewer says more of the draw than of the dimensions.
FEWEST = 10


def why_no_importances(found: list[TrialSlot]) -> str:
    """One sentence; empty where they can be computed."""
    complete = [place for place in found if place.state == "complete"]
    if len(complete) < FEWEST:
        return (
            f"Importances need {FEWEST} complete trials; there {'is' if len(complete) == 1 else 'are'} {len(complete)}."
        )
    if len({place.deciding.value for place in complete}) == 1:
        return f"Importances need trials that differ; all {format_count(len(complete), 'trial')} came out the same."
    return ""


def importances(study: optuna.Study, config: TuneConfig) -> dict[str, float]:
    """Share of each dimension, the largest first; they add up to 1.

    Functional ANOVA on a random forest (Hutter, Hoos, Leyton-Brown 2014), seeded. Not PED-ANOVA, optuna's default: it
    asks what makes the best tenth, and of a night's tens of trials that is a handful.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        evaluator = FanovaImportanceEvaluator(seed=config.seed)
        return get_param_importances(study, evaluator=evaluator, params=list(config.space))
