"""The cross-scenario report of a campaign: its funnels as one job, from exposure to loyalty (`protocol`)."""
