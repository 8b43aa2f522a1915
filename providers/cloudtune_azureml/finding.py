"""Sweep jobs that were started elsewhere: their specs, from what travelled with them or from what the service tells."""

from cloudtune.errors import RunNotFound
from cloudtune.spec.job import TuningJob
from cloudtune_azureml.client import Azure
from cloudtune_azureml.parse import parse, travelled
from cloudtune_azureml.rest import file_of


def find(azure: Azure, name: str) -> TuningJob:
    """The spec of a sweep job.

    Raises:
        RunNotFound: the workspace has no such job.
    """
    body = azure.job(name)
    if body is None or body["properties"].get("jobType") != "Sweep":
        hint = f"`az ml job list -w {azure.settings.workspace} -g {azure.settings.resource_group}` lists its jobs"
        raise RunNotFound(f"Azure Machine Learning has no tuning job {name!r} in the workspace; {hint}")
    spec = travelled(file_of(body))
    return parse(body) if spec is None else TuningJob.from_data(spec, name)
