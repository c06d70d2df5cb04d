"""TODO rehearsal"""
