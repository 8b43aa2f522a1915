"""What can go wrong on the way to SageMaker and inside it."""

from collections.abc import Collection
from dataclasses import dataclass

from cloudtune.emulation import faults


@dataclass(slots=True)
class Faults(faults.Faults):
    """Faults of AWS's emulator. Services have the names that they have in a signature."""

    services: Collection[str] = ("sagemaker", "logs")
