"""Records of visits that are counted in days, and what a preparation leaves out of them."""

from __future__ import annotations

import numpy as np

from survlstm.data.landmark import LandmarkSettings
from survlstm.data.outcomes.clinical import FirstCodeOutcome
from tests.prepared import unscaled_state

LANDMARK = LandmarkSettings(day=100.0, visit=None, intervals=2, edges="equidistant", horizon_days=1000.0)
START = np.datetime64("2020-01-01T08:00:00")
HIT = FirstCodeOutcome(["X/hit"])


def at(day, hour=8):
    return str(np.datetime64("2020-01-01T00:00:00") + np.timedelta64(day * 24 + hour, "h"))


def record(*days, code="X/a", hit=None):
    visits = [(at(day), f"e{day}", [code]) for day in days]
    return visits if hit is None else [*visits, (at(hit), f"e{hit}", ["X/hit"])]


def excluded(prepared):
    return [(rule.reason, rule.subjects, rule.events) for rule in prepared.flow.subjects_excluded if rule.subjects]


def edges_given(codes=("X/a",)):
    return unscaled_state(("[PAD]", "[UNK]", *codes), edges=[0.0, 10.0, 1000.0])
