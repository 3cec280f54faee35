"""The simulated cohort beside a real one: every figure within a factor of two."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from survlstm.simulation import simulate_cohort
from survlstm.simulation.figures import cohort_figures

# Measured with cohort_figures on a Synthea export of April 2024: Massachusetts, 1,123 patients (950 living), ten
# years of history. Stroke and myocardial infarction, which a few dozen people have, are those of an export of 9,971.
REAL = {
