"""Tuning in one call from Python: a function or a script, a space, and what to aim at."""

from cloudtune.tuning.call import tune as tune
