"""Processes of this machine and their ends."""
