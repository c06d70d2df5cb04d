"""Anyone's tables as the city that `bench/places.py` back-tests on: `hanse.places.backtest.tables`."""

from hanse.places.backtest.tables import Tables, distances, fault, find, load

__all__ = ["Tables", "distances", "fault", "find", "load"]
