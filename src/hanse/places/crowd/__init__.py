"""The crowd of places per day, of several owners' counts and others' signals: the joint model (`model`)."""
