"""What trials run on: machines, networks and keys."""

import re
from typing import Annotated

from pydantic import (
    BeforeValidator,
    WithJsonSchema,
)

from cloudtune.space.parameters import Count, Positive, SpecModel, no_text
from cloudtune.spec.fields import Duration, MachineTypes, PerProvider, Size, Text


def _whole_or_part(value: object) -> object:
    no_text(value)
    if isinstance(value, int | float):
        if 0.01 <= value < 1:
            return value
        if value >= 1 and float(value).is_integer():
            return int(value)
    raise ValueError(f"must be a whole number from 1, or a part of one from 0.01, such as 0.5; not {value!r}")


DeviceCount = Annotated[
    int | float,
    BeforeValidator(_whole_or_part),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "number", "minimum": 0.01, "exclusiveMaximum": 1}]}
    ),
]


class Accelerators(SpecModel):
    """Accelerators of one trial."""

    type: Text
    """The service's name of the accelerator."""
    count: DeviceCount = 1
    """How many; 0.5 for two trials on each one, where trials run beside each other: on this machine, on hosts and on Ray."""


def _accelerators(value: object) -> object:
    if not isinstance(value, str):
        return value
    kind, _, count = value.rpartition(":")
    if not kind or not re.fullmatch(r"\d+(\.\d+)?", count):
        return {"type": value}
    return {"type": kind, "count": float(count) if "." in count else int(count)}


class Compute(SpecModel):
    """What one trial runs on."""

    instance: MachineTypes | None = None
    """The machine type, or a list of those that will do, the preferred one first; one for all, or one a provider."""
    count: Count = 1
    """Machines of one trial; above one the trial is distributed."""
    accelerators: Annotated[Accelerators, BeforeValidator(_accelerators)] | None = None
    """Accelerators; also written "TYPE:COUNT"."""
    cpus: Positive | None = None
    """Processor cores, on services where the machine type does not determine them."""
    memory: Size | None = None
    """Memory that a trial may use."""
    disk: Size | None = None
    """Disk space of each machine."""
    spot: bool = False
    """Whether to use cheaper capacity that the service may reclaim."""
    max_wait: Duration | None = None
    """Longest time to wait for spot capacity, including the trial's own."""
    keep: Duration | None = None
    """How long a trial's machines stay for the next trial, so that it need not wait for their start; they cost the same meanwhile."""


class Network(SpecModel):
    """The network of the trials' machines."""

    name: Text | None = None
    """The virtual network, on services that take its name."""
    subnets: tuple[Text, ...] = ()
    """Subnets of the trials' machines."""
    security_groups: tuple[Text, ...] = ()
    """Security groups of the trials' machines."""
    isolated: bool = False
    """Whether trials have no access to any network."""


class Encryption(SpecModel):
    """Keys for data at rest, and whether traffic between a trial's machines is encrypted."""

    key: PerProvider | None = None
    """The key of outputs."""
    volume_key: PerProvider | None = None
    """The key of the machines' disks; null for the service's own."""
    traffic: bool = False
    """Whether to encrypt the traffic between the machines of one trial."""
