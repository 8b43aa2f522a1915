"""Runs and trials on disk."""
