"""Penalised regressions of the hazard, which start a model and which it is compared with."""
