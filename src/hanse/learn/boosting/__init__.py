"""Gradient boosting over openly aligned rows that are not people: histograms under lattice encryption."""

from hanse.learn.boosting.blocks import Block, LabelBlock
from hanse.learn.boosting.rows import Pledge, Rows, commitment
from hanse.learn.boosting.settings import Settings
from hanse.learn.boosting.together import Model, fit

__all__ = ["Block", "LabelBlock", "Model", "Pledge", "Rows", "Settings", "commitment", "fit"]
