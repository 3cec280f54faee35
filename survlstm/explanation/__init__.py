"""Which codes move a predicted hazard: by leaving them out, and by integrated gradients."""
