"""Discrete-time survival analysis: labels, hazards, the likelihood and evaluation metrics, as pure functions of arrays.

The package needs numpy, scipy, torch and jaxtyping; it reads no files and no configuration, and needs no run. Every
function of the table can be imported from here. ``docs/conventions.md`` defines every quantity, and
``docs/agreement.md`` compares the results with those of scikit-survival, lifelines, pycox and SurvivalEVAL.

=====================  ===========================================================================================
module                 contents
=====================  ===========================================================================================
``steps``              the step convention; masks of at-risk steps and of events
``hazard``             hazard, survival and cumulative hazard from logits
``loss``               negative log-likelihood
``kaplan_meier``       curves of the event and of the censoring, Greenwood's variance, confidence intervals
``aalen_johansen``     cumulative incidence of competing events
``covariate_free``     life-table hazard of a population
``concordance``        Antolini's time-dependent C-index, also for many bootstrap resamples at once
``rank_concordance``   Harrell's C and Uno's C of a fixed score
``auc``                cumulative/dynamic AUC
``ipcw``               censoring weights and the horizons at which they exist
``brier``              Brier score, binomial log-likelihood and their integrals
``d_calibration``      D-calibration over the whole curve
``one_calibration``    predicted and observed risk in groups at one horizon, with a test
``calibration_line``   calibration slope and intercept at one horizon
``follow_up``          checks of arguments, shared by the functions above
=====================  ===========================================================================================

Conventions that hold throughout:

- Arrays are numpy arrays, and tensors in ``steps``, ``hazard`` and ``loss``. Axis 0 is the subject.
- ``duration`` is the time from time zero to the event or to the end of follow-up, at least 0 and finite. Durations,
  horizons and curves of one call share one unit, which may be days, years or steps.
- ``event`` is boolean: True for an event at ``duration``, False for censoring at ``duration``.
- ``survival`` is a predicted probability of no event up to and including a time. ``score`` is any real number; a higher
  score means an earlier event.
- At equal times an event comes before a censoring. A subject censored at t is at risk of an event at t.
- ``censoring`` is the curve G of ``kaplan_meier.censoring_curve``. Estimate it on the training subjects.
- Where ``weight`` can be given, a subject of case weight 2 counts as two equal subjects. Where ``group`` can be given,
  subjects of one group, such as the predictions of one person at several times, are not compared.
- Arguments that break a rule raise ``ValueError`` with the number of affected subjects. No value is clamped or imputed.

The examples assume ``import numpy as np``, ``import torch`` and the functions that they call.

Example:
    >>> duration = np.array([5.0, 8.0, 12.0, 12.0])  # years, for example
    >>> event = np.array([True, True, False, False])
    >>> survival_by_10 = np.array([[0.2], [0.6], [0.7], [0.9]])
    >>> censoring = censoring_curve(duration, event)
    >>> brier(survival_by_10, duration=duration, event=event, horizon=np.array([10.0]), censoring=censoring).round(3)
    array([0.125])
    >>> c_harrell(1 - survival_by_10[:, 0], duration=duration, event=event).c
    1.0
"""

# Imported here at once: several functions have the name of their module, which is an attribute of the package from the
# first import of the module on, so that a later import of the function would depend on the order.
from survlstm.survival.aalen_johansen import CumulativeIncidence, aalen_johansen
from survlstm.survival.auc import DynamicAuc, cumulative_dynamic_auc
from survlstm.survival.brier import (
    brier,
    integrated_brier,
    integrated_nbll,
    nbll,
    time_average,
    weighted_brier,
    weighted_nbll,
)
from survlstm.survival.calibration_line import CalibrationLine, calibration_line
from survlstm.survival.concordance import Concordance, WeightedPairs, concordance_td, weighted_pairs
from survlstm.survival.covariate_free import covariate_free_hazard
from survlstm.survival.d_calibration import DCalibration, d_calibration
from survlstm.survival.hazard import cumulative_hazard, hazard, survival
from survlstm.survival.ipcw import WeightedOutcome, outcome_at, supported_horizons
from survlstm.survival.kaplan_meier import (
    Band,
    KaplanMeier,
    censoring_curve,
    confidence_band,
    greenwood_variance,
    kaplan_meier,
)
from survlstm.survival.loss import nll_per_step, nll_per_subject
from survlstm.survival.one_calibration import CalibrationGroups, OneCalibration, calibration_groups, one_calibration
from survlstm.survival.rank_concordance import RankConcordance, c_harrell, c_uno
from survlstm.survival.steps import at_risk_mask, event_mask

__all__ = [
    "Band",
    "CalibrationGroups",
    "CalibrationLine",
    "Concordance",
    "CumulativeIncidence",
    "DCalibration",
    "DynamicAuc",
    "KaplanMeier",
    "OneCalibration",
    "RankConcordance",
    "WeightedOutcome",
    "WeightedPairs",
    "aalen_johansen",
    "at_risk_mask",
    "brier",
    "c_harrell",
    "c_uno",
    "calibration_groups",
    "calibration_line",
    "censoring_curve",
    "concordance_td",
    "confidence_band",
    "covariate_free_hazard",
    "cumulative_dynamic_auc",
    "cumulative_hazard",
    "d_calibration",
    "event_mask",
    "greenwood_variance",
    "hazard",
    "integrated_brier",
    "integrated_nbll",
    "kaplan_meier",
    "nbll",
    "nll_per_step",
    "nll_per_subject",
    "one_calibration",
    "outcome_at",
    "supported_horizons",
    "survival",
    "time_average",
    "weighted_brier",
    "weighted_nbll",
    "weighted_pairs",
]
