"""A model with all that it takes to use it: weights, vocabulary, what preparation fitted, figures and card."""
