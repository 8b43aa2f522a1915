"""Values of a request that Vertex AI knows and a plan can judge, and settings that it takes and does not heed."""

import math
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from cloudtune.planning.known_values import IMAGE, Finding, Form, Known, judge_at
from cloudtune.planning.plain_data import join, mapping, mappings
from cloudtune.planning.plan import Machines, Support
from cloudtune_vertex.machines import machines
from cloudtune_vertex.schema_update import Schema, written

BUCKET = Form(
    "place in Cloud Storage",
    re.compile(r"gs://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9](?:/.*)?", re.DOTALL),
    "gs://bucket/folder",
)
ACCOUNT = Form(
    "service account",
    re.compile(r"[a-z0-9][a-z0-9._-]*@[a-z0-9][a-z0-9.-]*\.[a-z]+"),
    "NAME@PROJECT.iam.gserviceaccount.com",
)
_BOARD = Form(
    "Tensorboard resource",
    re.compile(r"projects/[^/]+/locations/[^/]+/tensorboards/[^/]+"),
    "projects/PROJECT/locations/LOCATION/tensorboards/ID",
)
_DIRECTIONS = "north|south|east|west|central|northeast|northwest|southeast|southwest"
_REGION = re.compile(rf"(africa|asia|australia|europe|me|northamerica|southamerica|us)-({_DIRECTIONS})\d+")

_UNDOCUMENTED = (
    "decayCurveStoppingSpec",
    "medianAutomatedStoppingSpec",
    "convexAutomatedStoppingSpec",
    "studyStoppingConfig",
)
"""Parts of a study of which Google does not say whether tuning jobs heed them."""

LONGEST = timedelta(days=7)
"""How long a custom job may run without a timeout (`Scheduling.timeout`)."""

_RETIRED = {"NVIDIA_TESLA_K80": "Google took it out of service (https://cloud.google.com/compute/docs/eol/k80-eol)"}


def regions() -> Known:
    """Return the regions that Vertex AI is in."""
    return Known("region", written().regions, _REGION, "google-cloud-aiplatform")


def judged(request: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what was found of the values of a request; nothing for those that are right as far as can be known."""
    for path, spec in _job_specs(request):
        yield from judge_at(ACCOUNT, spec.get("serviceAccount"), join(path, "serviceAccount"))
        yield from judge_at(_BOARD, spec.get("tensorboard"), join(path, "tensorboard"))
        output = spec.get("baseOutputDirectory")
        if isinstance(output, Mapping):
            yield from judge_at(
                BUCKET, output.get("outputUriPrefix"), join(path, "baseOutputDirectory.outputUriPrefix")
            )
        for index, pool in enumerate(mappings(spec.get("workerPoolSpecs"))):
            yield from _of_pool(pool, f"{path}.workerPoolSpecs[{index}]")


def machines_of(request: Mapping[str, Any]) -> Machines | None:
    """Return what one custom job of a request runs on; None where the request names no machine type."""
    for _, spec in _job_specs(request):
        pools = mappings(spec.get("workerPoolSpecs"))
        kinds = [mapping(pool.get("machineSpec")).get("machineType") for pool in pools]
        counts = [pool.get("replicaCount") for pool in pools]
        if kinds and all(isinstance(kind, str) for kind in kinds):
            several = " and ".join(dict.fromkeys(map(str, kinds)))  # of which no price list has one
            kept = math.inf if "persistentResourceId" in spec else 0.0
            return Machines(several, sum(count for count in counts if isinstance(count, int)) or 1, LONGEST, kept)
    return None


def _of_pool(pool: Mapping[str, Any], path: str) -> Iterator[Finding]:
    known = machines()
    machine, disk = mapping(pool.get("machineSpec")), mapping(pool.get("diskSpec"))
    container = mapping(pool.get("containerSpec"))
    yield from judge_at(known.types, machine.get("machineType"), f"{path}.machineSpec.machineType")
    yield from judge_at(known.disk_types, disk.get("bootDiskType"), f"{path}.diskSpec.bootDiskType")
    yield from judge_at(IMAGE, container.get("imageUri"), f"{path}.containerSpec.imageUri")
    kind, count, name = machine.get("acceleratorType"), machine.get("acceleratorCount"), machine.get("machineType")
    if kind in _RETIRED:
        yield f"{path}.machineSpec.acceleratorType", (Support.UNCHECKED, f"{kind} is passed on: {_RETIRED[kind]}")
    if isinstance(kind, str) and isinstance(name, str) and isinstance(count, int):
        misfit = known.misfit(name, kind, count)
        if misfit is not None:
            yield f"{path}.machineSpec.acceleratorType", (Support.UNSUPPORTED, f"{misfit}: see compute.instance")


def unheeded(request: Mapping[str, Any], native: Mapping[str, Any], message: str) -> Iterator[Finding]:
    """Yield the settings of a request that the service takes and that change nothing there, or may change nothing.

    Args:
        request: the whole request.
        native: what the native settings say of it.
        message: the name of the request's type.
    """
    for path, spec in _job_specs(request):
        scheduling = mapping(spec.get("scheduling"))
        if scheduling.get("maxWaitDuration") and scheduling.get("strategy") != "FLEX_START":
            found = "counts with the strategy FLEX_START alone: of no effect here"
            yield join(path, "scheduling.maxWaitDuration"), (Support.APPROXIMATE, found)
        if scheduling.get("restartJobOnWorkerRestart") and scheduling.get("disableRetries"):
            found = "is overridden by disableRetries: of no effect here"
            yield join(path, "scheduling.restartJobOnWorkerRestart"), (Support.APPROXIMATE, found)
    for name in _UNDOCUMENTED:
        if name in mapping(native.get("studySpec")):
            found = "is passed on; whether tuning jobs heed it is not documented"
            yield f"studySpec.{name}", (Support.UNCHECKED, found)
    for path in _filled_in(native, message, written(), ""):
        yield path, (Support.APPROXIMATE, "is filled in by the service: of no effect in a request")


def _filled_in(data: Mapping[str, Any], message: str, schema: Schema, path: str) -> Iterator[str]:
    """Yield the fields of a message that the service writes and does not read."""
    for name, value in data.items():
        field = schema.messages[message].get(name)
        if field is None:
            continue
        if field.output:
            yield join(path, name)
        elif field.kind in schema.messages and isinstance(value, Mapping) and not field.many:
            yield from _filled_in(value, field.kind, schema, join(path, name))


def _job_specs(request: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name in ("trialJobSpec", "jobSpec"):
        if isinstance(request.get(name), Mapping):
            yield name, request[name]
