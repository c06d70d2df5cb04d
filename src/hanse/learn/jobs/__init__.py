"""Trainings as jobs between organisations: what is agreed, what each party uploads, what each one keeps."""
