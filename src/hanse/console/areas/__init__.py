"""The console's areas, one file and one folder of templates each; an area is its API and its pages."""
