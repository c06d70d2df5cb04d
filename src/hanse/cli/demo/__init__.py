"""``hanse demo``: four organisations on this machine measure a campaign together. See `command`."""
