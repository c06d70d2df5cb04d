"""Lift: what treated people did more than a control, with its interval, and power beforehand (`protocol`)."""
