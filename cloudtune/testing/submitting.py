"""Submit jobs in a test, and leave no run behind."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from cloudtune import api
from cloudtune.run import Run
from cloudtune.spec.job import TuningJob


@contextlib.contextmanager
def submitting(project: Path, on: str | None = None) -> Iterator[Callable[[TuningJob], Run]]:
    """Yield a function that submits a job; at the end all submitted runs are cancelled, and have ended.

    Args:
        project: the folder of the store and of the config, from which the job's paths start.
        on: the profile or provider; None for the config's default.
    """
    submitted: list[Run] = []

    def submit(job: TuningJob) -> Run:
        submitted.append(api.submit(job, on, project=project, base=project))
        return submitted[-1]

    yield submit
    for run in submitted:
        run.cancel()
        run.wait()
