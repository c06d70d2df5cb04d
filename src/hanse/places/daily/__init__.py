"""The daily run: which feeds, how they degrade, what is told, what is kept. Pure but for reading tables."""
