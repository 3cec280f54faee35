"""Simulator of patient cohorts in the CSV format of Synthea, for machines and tests without a real export."""

from survlstm.simulation.cohort import simulate_cohort

__all__ = ["simulate_cohort"]
