"""What SageMaker calls our runs and trials: names that derive from the run's id, so that a repeated call makes nothing twice."""

import hashlib
import re

JOB_LENGTH = 32
"""Characters of a tuning job's name (botocore: HyperParameterTuningJobName)."""

TRAINING_LENGTH = 63
"""Characters of a training job's name (botocore: TrainingJobName)."""

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
"""Where training jobs write what they print, a stream ``JOB/algo-N-…`` a machine."""

_NUMBER = re.compile(r"-(\d+)-[0-9A-Za-z]+\Z")


def legal(name: str) -> str:
    """Return a name as near to the given one as SageMaker allows: letters and digits, with single or more dashes between."""
    return re.sub(r"[^A-Za-z0-9-]+", "-", name).strip("-") or "job"


def plan_name(name: str) -> str:
    """Return the name that a plan shows, before there is a run."""
    return legal(legal(name)[:JOB_LENGTH])


def run_name(name: str, run_id: str) -> str:
    """Return the name of a run's tuning job, and the beginning of the names of a driven run's training jobs."""
    mark = hashlib.sha256(run_id.encode()).hexdigest()[:8]
    return f"{legal(legal(name)[: JOB_LENGTH - 9])}-{mark}"


def trial_name(run: str, number: int, attempt: int) -> str:
    """Return the name of the training job that one attempt of a driven run's trial is."""
    return f"{run}-{number + 1:04d}-{attempt}"


def trial_number(training_job: str) -> int | None:
    """Return the trial's number, from 0, from the name of its training job; None for another kind of name.

    The service names the training jobs of a tuning job ``JOB-001-1a2b3c4d``, counting from 1.
    """
    found = _NUMBER.search(training_job)
    return int(found.group(1)) - 1 if found else None
