"""The command line of one organisation's node: ``hanse``. See `main`."""
