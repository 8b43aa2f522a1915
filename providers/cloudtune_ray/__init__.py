"""Runs trials on a Ray cluster: reusable actors are the slots, and each trial is a process of its own in one of them."""
