"""Explanations of a model's predicted hazard: occlusion of codes, and integrated gradients over their embeddings."""
