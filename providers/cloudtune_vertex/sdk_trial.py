"""A user's own ``google.cloud.aiplatform.CustomJob`` as the trial of a job.

Its message says everything: what another provider could do as well goes to the neutral fields, the rest under
``vertex``, as with any other request (see `parse`).
"""

from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format

from cloudtune.planning.reading import job_with
from cloudtune.spec.job import TuningJob
from cloudtune_vertex.parse import parse
from cloudtune_vertex.translate import bare_request

_ANY = TuningJob.from_data(
    {
        "name": "any",
        "trial": {"image": "any"},
        "objective": {"metric": "any", "goal": "maximize"},
        "space": {"any": {"type": "float", "low": 0.0, "high": 1.0}},
        "limits": {"trials": 1},
    }
)
"""Stands for what a custom job does not say: what to search."""

_ANY_LIMITS = ("trials", "parallel")


def job_of(custom_job: Any, *, objective: Any, space: Mapping[str, Any], **fields: Any) -> TuningJob:
    """Return the tuning job whose trials run as a ``CustomJob`` does.

    The values of a trial follow the job's own arguments, as ``--name=value``: where a name stands twice, argparse and
    absl take the trial's.

    Args:
        custom_job: a ``google.cloud.aiplatform.CustomJob``, also one made by ``from_local_script``.
        objective: as in a job, e.g. ``{"metric": "loss", "goal": "minimize"}``.
        space: what to vary.
        **fields: further fields of the job, such as ``limits`` and ``strategy``; they win over the custom job's.

    Raises:
        SpecError: the job is not valid, or the custom job is none that the service would take.
    """
    message = custom_job._gca_resource  # noqa: SLF001  # before it is made it has no public way to labels and keys
    own = json_format.MessageToDict(message._pb)  # noqa: SLF001  # proto-plus's own way
    request = {**bare_request(_ANY), "displayName": own["displayName"], "trialJobSpec": own["jobSpec"]}
    request |= {name: own[name] for name in ("labels", "encryptionSpec") if name in own}
    data: dict[str, Any] = parse(request).to_data()
    data["limits"] = {name: value for name, value in data["limits"].items() if name not in _ANY_LIMITS}
    return job_with(data, {"objective": objective, "space": space, **fields}, "the custom job")
