"""Feeds: what a source said about places and days, and when; kept, read from files, completed, stood in for."""

from hanse.places.feeds.feed import Feed, days_between, feed, from_matrix

__all__ = ["Feed", "days_between", "feed", "from_matrix"]
