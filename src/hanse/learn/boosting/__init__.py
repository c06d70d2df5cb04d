"""Gradient boosting over openly aligned rows that are not people: histograms under lattice encryption."""

from hanse.learn.boosting.model import Block, LabelBlock, Rows, Settings
from hanse.learn.boosting.training import Model, fit

__all__ = ["Block", "LabelBlock", "Model", "Rows", "Settings", "fit"]
