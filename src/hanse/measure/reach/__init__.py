"""Reach and frequency over several providers: unique people, k+ reach, what each provider adds (`protocol`)."""
