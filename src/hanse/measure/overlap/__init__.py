"""Overlap of up to six crowds: every region of their Venn diagram (`protocol`)."""
