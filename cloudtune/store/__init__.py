"""Runs and trials on disk."""

STORE = ".cloudtune"
"""Name of the store's folder within a project's."""
