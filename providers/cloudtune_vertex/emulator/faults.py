"""What can go wrong on the way to Vertex AI and inside it."""

from collections.abc import Collection
from dataclasses import dataclass

from cloudtune.emulation import faults


@dataclass(slots=True)
class Faults(faults.Faults):
    """Faults of Vertex AI's emulator. Services are ``aiplatform``, ``storage`` and ``logging``.

    Operations of ``aiplatform`` are called as its RPCs are, also over REST; those of the others by the HTTP method.
    """

    services: Collection[str] = ("aiplatform",)
