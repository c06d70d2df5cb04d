"""Generalised linear models on shares, with hidden matching."""
