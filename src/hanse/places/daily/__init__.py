"""The daily run: which feeds, in which order they degrade, what is told, what is kept. Pure but for reading tables."""
