"""Figures of the pages, one function for each figure."""
