"""Records of subjects whose future is open → risk, percentile and survival curve, by a bundle's model."""
