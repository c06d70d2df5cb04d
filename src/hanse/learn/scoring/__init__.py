"""Joint scoring: every party brings its part, the sum goes to one receiver."""
