"""Schemas of the composed configs: types, ranges and contradictions; the values are in ``conf/``."""
