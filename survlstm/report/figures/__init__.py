"""The report's figures: one module for each question, one function for each figure."""
