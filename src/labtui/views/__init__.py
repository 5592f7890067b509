"""Readings -> rows: pure functions, one file a subject, no I/O."""
