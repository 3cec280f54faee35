"""Predictions of a bundle's model for new records: risk, percentile and survival curve."""
