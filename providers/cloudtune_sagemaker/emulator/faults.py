"""What can go wrong on the way to SageMaker and inside it."""

from collections.abc import Collection
from dataclasses import dataclass

from cloudtune.emulation import faults


@dataclass(slots=True)
class Faults(faults.Faults):
    """See `cloudtune.emulation.faults.Faults`; services are called by their names in a signature."""

    services: Collection[str] = ("sagemaker", "logs")
