"""Discrete-time survival analysis: labels, hazards, the likelihood and evaluation metrics, as pure functions of arrays.

The package imports alone: it needs numpy, scipy and jaxtyping, and torch for ``steps``, ``hazard`` and ``loss``. It
reads no files and no configuration. ``docs/conventions.md`` defines every quantity, and ``docs/agreement.md`` compares
the results with those of scikit-survival, lifelines, pycox and SurvivalEVAL.

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
- Arguments that break a rule raise ``ValueError`` with the number of affected subjects. No value is clamped or imputed.

The examples assume ``import numpy as np``, ``import torch`` and the functions that they call.
"""
