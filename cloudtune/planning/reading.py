"""From a service's request to the spec, so that translating the spec gives the request again.

What the neutral fields can say goes there, so that the job runs on another provider. The rest becomes native settings: the
difference between the translation of the neutral fields and the request.
"""

from collections.abc import Callable, Mapping
from typing import Any

from cloudtune.planning.merge_patch import Merging
from cloudtune.space.parameters import Parameter
from cloudtune.spec.job import TuningJob


def read_job(
    spec: dict[str, Any] | None, neutral: Callable[[], dict[str, Any]], variables: Mapping[str, Any], source: str
) -> TuningJob:
    """Return the job that a request was made of, or that its fields tell, without native settings.

    Args:
        spec: that travelled in the request, with masks for the values of variables; None where there is none.
        neutral: returns the data of a spec from the request's fields.
        variables: environment variables of the request, with their values.
        source: the request's name in messages.

    Raises:
        SpecError: the request does not make a valid job.
    """
    if spec is None:
        return TuningJob.from_data(neutral(), source)
    job = TuningJob.from_data(spec, source)
    values = {name: variables.get(name, value) for name, value in job.trial.environment.items()}
    return job.model_copy(update={"trial": job.trial.model_copy(update={"environment": values})})


def with_native(
    job: TuningJob, provider: str, request: Mapping[str, Any], ours: Mapping[str, Any], merging: Merging
) -> TuningJob:
    """Return a job with the native settings that make its request the given one.

    Args:
        job: without native settings.
        provider: whose request it is.
        request: the given one.
        ours: the request of the job without native settings.
        merging: how native settings are merged into a request.
    """
    native = merging.difference(ours, dict(request))
    assert merging.merge(ours, native) == dict(request)
    return job.model_copy(update={provider: native})


def run_name_of(display: str, other: str) -> str:
    """Return a legal name of a job from a display name, which may be any text.

    Args:
        display: the display name.
        other: the name for a text without any legal character.
    """
    legal = "".join(char if char.isascii() and (char.isalnum() or char in "-_") else "-" for char in display)
    return legal.strip("-_")[:63].strip("-_") or other


def job_with(data: Mapping[str, Any], fields: Mapping[str, Any], source: str) -> TuningJob:
    """Return the job of data in which other fields win, member by member; a space takes the place of another as a whole.

    Args:
        data: of a job.
        fields: of a job, as data; entries of its space may be parameters.
        source: the name of both in messages.

    Raises:
        SpecError: the job is not valid.
    """
    found = dict(data)
    for name, value in fields.items():
        both = name != "space" and isinstance(value, Mapping) and isinstance(found.get(name), Mapping)
        found[name] = {**found[name], **value} if both else value
    space = {
        name: entry.model_dump(mode="json") if isinstance(entry, Parameter) else entry
        for name, entry in found["space"].items()
    }
    return TuningJob.from_data({**found, "space": space}, source)
