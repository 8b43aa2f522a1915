"""Tuning jobs that were started elsewhere: their specs, from what travelled with them or from what the service tells."""

from typing import Any

from google.protobuf import json_format

from cloudtune.errors import ProviderError, RunNotFound
from cloudtune.spec.job import TuningJob
from cloudtune_vertex.client import Google
from cloudtune_vertex.parse import parse, travelled


def find(google: Google, name: str) -> tuple[TuningJob, str]:
    """The spec of a tuning job, and its full name.

    Args:
        google: the clients.
        name: the job's full name, its id, or the display name of the newest of that name.

    Raises:
        RunNotFound: the project has no such job in this location.
    """
    try:
        job = _get(google, name) if "/" in name or name.isdigit() else _newest(google, name)
    except ProviderError as error:
        if error.code not in {"NotFound", "InvalidArgument", "BadRequest"}:
            raise
        job = None
    if job is None:
        hint = f"`gcloud ai hp-tuning-jobs list --region={google.settings.location}` lists them"
        raise RunNotFound(f"Vertex AI has no tuning job {name!r} in {google.parent}; {hint}")
    told = json_format.MessageToDict(job._pb)  # noqa: SLF001  # proto-plus's own way
    spec = travelled(told)
    return parse(told) if spec is None else TuningJob.from_data(spec, name), str(job.name)


def _get(google: Google, name: str) -> Any:  # HyperparameterTuningJob, or None
    full = name if "/" in name else f"{google.parent}/hyperparameterTuningJobs/{name}"
    return google.call(f"looking for the tuning job {name}", google.jobs.get_hyperparameter_tuning_job, name=full)


def _newest(google: Google, name: str) -> Any:  # HyperparameterTuningJob, or None
    pages = google.call(
        f"looking for the tuning job {name}",
        google.jobs.list_hyperparameter_tuning_jobs,
        parent=google.parent,
        filter=f'display_name="{name}"',
        page_size=1,
    )
    return next(iter(pages), None)
