"""Google's machine types as a plan knows them, and which accelerators go with which.

The SDK has the accelerators (`AcceleratorType`), but no machine types: they stand in ``machines.json`` beside this file,
with where they are from.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from cloudtune.planning.known_values import Known

_FILE = Path(__file__).with_name("machines.json")

_CLASSES = (
    "standard|highmem|highcpu|highgpu|megagpu|ultragpu|edgegpu|ultramem|megamem|hypermem|hightpu|medium|small|micro"
)
MACHINE = re.compile(
    rf"[a-z]+\d+[a-z]*-({_CLASSES})(-\d+[gt]?)?(-(metal|lssd|highlssd|standardlssd|nolssd))?|cloud-tpu"
)
"""The names of Google's machine types."""
_DISK = re.compile(r"(pd|hyperdisk)-[a-z]+(-[a-z]+)*")


@dataclass(frozen=True)
class Machines:
    """What is written down.

    Attributes:
        plain: sizes (processors) of the machines without GPUs of their own, by what precedes them.
        with_gpus: the GPUs that a machine comes with: their type and number.
        attachable: GPUs that may be attached to some machines, and how many.
        attachable_to: how the names of those machines begin.
        tpus: machines with TPUs.
        disks: types of boot disks (`DiskSpec.boot_disk_type`).
    """

    plain: Mapping[str, Sequence[int]]
    with_gpus: Mapping[str, tuple[str, int]]
    attachable: Mapping[str, Sequence[int]]
    attachable_to: tuple[str, ...]
    tpus: tuple[str, ...]
    disks: tuple[str, ...]

    @cached_property
    def types(self) -> Known:
        """The machine types."""
        plain = [f"{family}-{size}" for family, sizes in self.plain.items() for size in sizes]
        return Known("machine type", (*plain, *self.with_gpus, *self.tpus), MACHINE, "cloudtune")

    @cached_property
    def disk_types(self) -> Known:
        """The types of boot disks."""
        return Known("disk type", self.disks, _DISK, "the SDK")

    def misfit(self, machine: str, accelerator: str, count: int) -> str | None:
        """Return why a machine cannot have so many of an accelerator; None if it can, or if that is not known."""
        if machine not in self.types.values or accelerator.startswith("TPU") or machine in self.tpus:
            return None
        if machine in self.with_gpus:
            own, number = self.with_gpus[machine]
            fits = (accelerator, count) == (own, number)
            return None if fits else f"{machine} has {number} {own}, not {count} {accelerator}"
        if accelerator not in self.attachable:
            bringing = [name for name, (own, _) in self.with_gpus.items() if own == accelerator]
            return f"{accelerator} comes with {', '.join(bringing)}, not with {machine}" if bringing else None
        if not machine.startswith(self.attachable_to):
            return f"{accelerator} goes with {', '.join(self.attachable_to)}… machines, not with {machine}"
        counts = self.attachable[accelerator]
        return None if count in counts else f"{machine} takes {', '.join(map(str, counts))} {accelerator}, not {count}"


@cache
def machines() -> Machines:
    """Return what is written down."""
    data = json.loads(_FILE.read_text("utf-8"))
    return Machines(
        data["plain"],
        {name: (kind, count) for name, (kind, count) in data["with_gpus"].items()},
        data["attachable"],
        tuple(data["attachable_to"]),
        tuple(data["tpus"]),
        tuple(data["disks"]),
    )
