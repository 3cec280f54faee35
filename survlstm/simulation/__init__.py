"""The cohort simulator: a seed → a Synthea CSV export, for machines and tests that have no real one."""

from survlstm.simulation.cohort import simulate_cohort

__all__ = ["simulate_cohort"]
