"""Predicted curves made up for the tests of figures and pages."""

from __future__ import annotations

import numpy as np

from survlstm.report.figures.survival import GroupCurve, SubjectCurve, TimeGrid
from survlstm.report.survival_page import ScoredCohort

VISITS = TimeGrid(np.arange(1.0, 11.0), "visits")
DAYS = TimeGrid(np.array([182.5, 365, 730, 1095, 1460, 1825]), "days")


def survival(times, *, hazard):
    """A curve of one hazard for all steps."""
    return (1 - hazard) ** np.arange(1, len(times.grid) + 1)


def subject(name, times=VISITS, *, hazard=0.1, chosen_as="", percentile=50.0):
    curve = survival(times, hazard=hazard)
    return SubjectCurve(
        name=name,
        chosen_as=chosen_as,
        risk=float(1 - curve[-1]),
        percentile=percentile,
        visits=1234,
        entries=2345,
        entries_unknown=67,
        at_horizons=(float(curve[0]), float(curve[-1])),
        survival=curve,
    )


def group(name, times=VISITS, *, hazard, subjects=10):
    mean = survival(times, hazard=hazard)
    if not subjects:
        mean = np.full(len(mean), np.nan)
    return GroupCurve(name, subjects, mean, mean**1.5, mean**0.5)


def scored(times=VISITS, **changed):
    """Three subjects and three groups; ``changed`` replaces what a test is about."""
    values = {
        "outcome": "Death from any cause.",
        "steps": "Step j is the interval from visit j to visit j+1.",
        "times": times,
        "horizons": (float(times.grid[0]), float(times.grid[-1])),
        "subjects": tuple(
            subject(f"11111111-2222-3333-4444-{number:012d}", times, hazard=hazard, chosen_as=f"{called} risk")
            for number, (called, hazard) in enumerate([("lowest", 0.01), ("median", 0.1), ("highest", 0.3)])
        ),
        "groups": (
            group("low risk", times, hazard=0.02, subjects=1500),
            group("medium risk", times, hazard=0.1, subjects=20),
            group("high risk", times, hazard=0.3, subjects=1),
        ),
        "left_out": {},
        "not_scored": {"no entry that may be read": 12, "the subject died on …, before the prediction time": 3},
        "notes": (),
        "sample": None,
        "origin": {"Bundle": "small, epoch 1", "Data": "cohort", "As of": "all entries of the data"},
    }
    return ScoredCohort(**(values | changed))
