"""Packaging of a job's code and data: which files travel, which are left out, and what the trial command starts."""
