"""Values of a job that Azure Machine Learning knows and a plan can judge, and settings that it takes and does not heed.

Which machines, clusters and environments there are, only the workspace knows: the SDK has no list of any of them. Their
forms are documented, so a slip in them is refused and the rest is passed on with a note.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from cloudtune.planning.known_values import IMAGE, Finding, Form, Known, judge_at
from cloudtune.planning.plain_data import mapping
from cloudtune.planning.plan import Machines, Support
from cloudtune_azureml import schema

_COMMON = (
    "Standard_D2_v2", "Standard_DS2_v2", "Standard_DS3_v2", "Standard_DS4_v2", "Standard_DS11_v2", "Standard_DS12_v2",
    "Standard_D2s_v3", "Standard_D4s_v3", "Standard_D8s_v3", "Standard_E4s_v3", "Standard_E8s_v3", "Standard_E16s_v3",
    "Standard_F4s_v2", "Standard_F8s_v2", "Standard_NC6s_v3", "Standard_NC12s_v3", "Standard_NC24s_v3",
    "Standard_NC4as_T4_v3", "Standard_NC8as_T4_v3", "Standard_NC16as_T4_v3", "Standard_NC24ads_A100_v4",
    "Standard_ND40rs_v2", "Standard_ND96asr_v4", "Standard_ND96amsr_A100_v4", "Standard_ND96isr_H100_v5",
)  # fmt: skip
"""Some sizes that examples use (azureml-examples, Azure/azureml-examples on GitHub), to guess at what was meant."""

SIZE = re.compile(r"(standard|basic)_[a-z]+\d+(-\d+)?[a-z]*(_[a-z0-9]+)*", re.IGNORECASE)
"""https://learn.microsoft.com/azure/virtual-machines/vm-naming-conventions; the service takes any case."""

_ONLY_THERE = "which sizes there are, only the workspace's region knows"
_INSTANCE_TYPE = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
"""Of a Kubernetes cluster: the name of a custom resource."""

COMPUTE = Form(
    "compute",
    re.compile(r"(?:azureml:)?(?:[A-Za-z][A-Za-z0-9-]{0,62}|(?:azureml:/)?/subscriptions/[^/\s]+/.+)"),
    "azureml:NAME",
    "only the workspace knows its computes; `cloudtune check` asks it",
)
_ENVIRONMENT = Form(
    "environment",
    re.compile(r"(?:azureml:)?(?:[\w.-]+(?:@[\w.-]+|:[\w.-]+)?|/.*)"),
    "azureml:NAME@latest, azureml:NAME:VERSION, or an image",
)
_CLIENT = Form(
    "identity",
    re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"),
    "managed, user, token, or the client id of a managed identity (a GUID)",
)
_PLACE = Form(
    "place that Azure Machine Learning reads",
    re.compile(
        r"azureml:[\w.-]+(?:[:@][\w.-]+)?|azureml://(?:datastores/[\w-]+/paths/|subscriptions/|locations/|registries/|jobs/).*"
        r"|https?://[^/\s]+/.*|(?:wasbs?|abfss?)://[^@\s]+@[^/\s]+(?:/.*)?|[^:]*|file://.*",
        re.DOTALL,
    ),
    "azureml://datastores/NAME/paths/FOLDER, azureml:DATA:VERSION, or https://ACCOUNT.blob.core.windows.net/CONTAINER/FOLDER",
)
_LOCATION = Form("location", re.compile(r"[a-z]+[0-9]?"), "westeurope", "which there are, only the subscription knows")

_OF_POLICY = {
    "bandit": {"slack_factor", "slack_amount"},
    "median_stopping": set[str](),
    "truncation_selection": {"truncation_percentage"},
}
"""The fields of a policy that count for each kind, beside those of all."""


def judged(job: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what was found of the values of a job; nothing for those that are right as far as can be known."""
    part = mapping(job.get("trial"))
    yield from judge_at(COMPUTE, job.get("compute"), "compute")
    identity = mapping(job.get("identity"))
    yield from judge_at(_CLIENT, identity.get("client_id"), "identity.client_id")
    for at, holder in (("", job), ("trial.", part)):
        environment = holder.get("environment")
        if isinstance(environment, str):
            yield from judge_at(_ENVIRONMENT, environment, f"{at}environment")
        yield from judge_at(IMAGE, mapping(environment).get("image"), f"{at}environment.image")
        resources = mapping(holder.get("resources"))
        yield from _of_machine(resources.get("instance_type"), job.get("compute"), f"{at}resources.instance_type")
        for index, location in enumerate(resources.get("locations") or ()):
            yield from judge_at(_LOCATION, location, f"{at}resources.locations[{index}]")
    for kind in ("inputs", "outputs"):
        for name, value in mapping(job.get(kind)).items():
            yield from judge_at(_PLACE, mapping(value).get("path"), f"{kind}.{name}.path")


def machines_of(job: Mapping[str, Any]) -> Machines:
    """Return what one trial of a job runs on; no limit of time is the service's own."""
    resources = {**mapping(mapping(job.get("trial")).get("resources")), **mapping(job.get("resources"))}
    kind = resources.get("instance_type") or job.get("compute") or "machine of serverless compute"
    count = resources.get("instance_count")
    return Machines(str(kind), count if isinstance(count, int) else 1)


def _of_machine(machine: Any, compute: Any, path: str) -> Iterator[Finding]:
    if not isinstance(machine, str):
        return
    if compute and _INSTANCE_TYPE.fullmatch(machine):
        found = (
            f"{machine} is passed on unchecked: which instance types a Kubernetes cluster has, only the cluster knows"
        )
        yield path, (Support.UNCHECKED, found)
    elif SIZE.fullmatch(machine):
        yield path, (Support.UNCHECKED, f"the machine size {machine} is passed on unchecked: {_ONLY_THERE}")
    else:
        verdict = Known("machine size", _COMMON, SIZE, "cloudtune").judge(machine)
        yield path, verdict or (Support.UNCHECKED, machine)


def unheeded(job: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield the settings of a job that the service takes and that change nothing there."""
    for path, message in (*_with_a_cluster(job), *_of_sampling(job), *_of_policy(job)):
        yield path, (Support.APPROXIMATE, message)


def _with_a_cluster(job: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what only serverless compute heeds."""
    if not job.get("compute") or job.get("compute") == "serverless":
        return
    for at, holder in (("", job), ("trial.", mapping(job.get("trial")))):
        resources = mapping(holder.get("resources"))
        if SIZE.fullmatch(str(resources.get("instance_type"))):
            yield (
                f"{at}resources.instance_type",
                "the compute's machines are what they are: of no effect but on serverless compute",
            )
        if resources.get("locations"):
            yield f"{at}resources.locations", "counts for serverless compute alone: of no effect here"
        if mapping(holder.get("queue_settings")).get("job_tier"):
            yield (
                f"{at}queue_settings.job_tier",
                "counts for serverless compute alone; a cluster has its own priority: of no effect here",
            )


def _of_sampling(job: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    sampling = job.get("sampling_algorithm")
    kind = str(schema.snake(mapping(sampling).get("type", sampling)))
    for name in ("seed", "rule", "logbase"):
        if kind != "random" and mapping(sampling).get(name) is not None:
            yield f"sampling_algorithm.{name}", f"counts for random sampling alone: of no effect for {kind}"
    if kind == "bayesian" and job.get("early_termination"):
        yield (
            "early_termination",
            "Azure Machine Learning stops no trials of Bayesian sampling early: of no effect here",
        )


def _of_policy(job: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    policy = mapping(job.get("early_termination"))
    kind = str(schema.snake(policy.get("type")))
    for name in set().union(*_OF_POLICY.values()) - _OF_POLICY.get(kind, set()):
        if policy.get(name):
            yield f"early_termination.{name}", f"is no setting of {kind}: of no effect here"
