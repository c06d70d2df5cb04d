"""The cross-scenario funnel: people per stage, each stage at any organisation (`protocol`)."""
