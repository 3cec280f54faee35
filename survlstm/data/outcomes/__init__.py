"""Outcomes: which entries are observed, how long each subject is followed, and the labels of the cohort."""
