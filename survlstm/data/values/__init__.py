"""Numerical values of entries as inputs: bins that join the code, and columns of the last value of each measure."""
