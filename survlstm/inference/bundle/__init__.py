"""Bundles: a trained model with everything that its use needs, and with its evaluation and its model card."""
