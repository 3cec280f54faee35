"""Events and censorings drawn step by step from known hazards.

See ``docs/conventions.md``, section "Synthetic outcomes".
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int64

from survlstm.data.outcomes.labels import step_end_times
from survlstm.data.outcomes.protocol import Labels
from survlstm.data.split import subject_key
from survlstm.data.visits import Visits


def draw_labels(
    visits: Visits,
    effect: Float[np.ndarray, " visit"],
    *,
    event_rate: float,
    censoring_chance: float,
    seed: int,
    is_training: Bool[np.ndarray, " subject"],
) -> Labels:
    """Draw an outcome step by step, with an intercept that gives the requested event rate.

    In each step the event happens with probability ``expit(intercept + effect)``; otherwise the subject is censored
    with probability ``censoring_chance``; otherwise the next step follows. The record ends with step n-2. The draws of
    a subject depend on its id and the seed only. The event happens in step j if ``logit(uniform_j) < intercept +
    effect_j``, so each subject has a smallest intercept above which it has the event. The intercept for the requested
    event rate is the quantile of these among the training subjects.

    Args:
        visits: Visits of the cohort, at least two of each subject.
        effect: Log-odds of the hazard at each visit, without the intercept.
        event_rate: Share of training subjects with the event.
        censoring_chance: Probability of censoring in each step without the event.
        seed: Seed of the draws.
        is_training: Subjects that the intercept is fitted on.

    Returns:
        Labels with the hazards drawn from, and figures of the outcome.
    """
    from scipy.special import expit, logit

    steps = visits.visits_per_subject - 1
    first_visit, owner = visits.visit_offsets[:-1], visits.visit_subject
    uniform = np.ones((2, len(owner)))
    for subject, name in enumerate(visits.subjects.subject_id):
        generator = np.random.Generator(np.random.Philox(key=subject_key(str(name), seed=seed, purpose="outcome")))
        visits_here = slice(first_visit[subject], first_visit[subject] + steps[subject])
        # One row per step, so that the draws of a step stay the same when visits are appended to the record.
        uniform[:, visits_here] = generator.random((steps[subject], 2)).T
    number = np.arange(len(owner)) - first_visit[owner]
    at_risk = number < steps[owner]
    # The step of censoring, or the last step of the record.
    end = _first_step(at_risk & (uniform[1] < censoring_chance), visits, otherwise=steps - 1)
    needed = np.where(at_risk & (number <= end[owner]), logit(uniform[0]) - effect, np.inf)
    first_needed = np.minimum.reduceat(needed, first_visit)
    intercept = float(np.quantile(first_needed[is_training], event_rate, method="linear"))
    event = first_needed < intercept
    step = np.where(event, _first_step(needed < intercept, visits, otherwise=end), end)
    facts = {
        "event_rate": float(event.mean()),
        "event_rate_train": float(event[is_training].mean()),
        "asked_event_rate": event_rate,
        "median_step": float(np.median(step)),
        "intercept": intercept,
    }
    oracle_hazard = expit(intercept + effect).astype(np.float32)
    return Labels(step, event, step_end_times(visits, step), oracle_hazard, facts)


def _first_step(
    here: Bool[np.ndarray, " visit"], visits: Visits, *, otherwise: Int64[np.ndarray, " subject"]
) -> Int64[np.ndarray, " subject"]:
    """Return the first step of each subject for whose visit ``here`` is true; ``otherwise`` without such a visit."""
    visit = np.flatnonzero(here)
    subject = visits.visit_subject[visit]
    first = otherwise.copy()
    np.minimum.at(first, subject, visit - visits.visit_offsets[:-1][subject])
    return first
