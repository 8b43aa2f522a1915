"""Runs and trials on disk."""

STORE = ".cloudtune"
"""The folder of a project's store, in the project's."""
