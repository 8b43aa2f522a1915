"""What Azure Machine Learning calls our runs and trials: names that derive from the run's id, so that a repeated call makes no second job."""

import hashlib
import re

_LONGEST = 200
"""Characters of a job's name that ours have at most; the service takes 255."""


def run_name(name: str, run_id: str) -> str:
    """Return the name of a run's sweep job: the job's in small letters, as Azure's SDK makes of it, and a mark of the run's id."""
    mark = hashlib.sha256(run_id.encode()).hexdigest()[:8]
    return f"{re.sub(r'[^a-z0-9_-]', '-', name.lower())[:_LONGEST]}-{mark}"


def trial_name(run: str, number: int, attempt: int) -> str:
    """Return the name of the command job that one attempt of a driven run's trial is."""
    return f"{run}_{number}_{attempt}"
