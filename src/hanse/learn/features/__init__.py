"""Features before a model: reading files, bins, weight of evidence, correlation, selection, stability."""
