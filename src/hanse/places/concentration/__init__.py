"""Concentration of target groups: per place, cell, district and city, never who is where (`protocol`)."""
