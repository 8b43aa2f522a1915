"""What can go wrong on the way to Azure Machine Learning and inside it."""

from collections.abc import Collection
from dataclasses import dataclass

from cloudtune.emulation import faults


@dataclass(slots=True)
class Faults(faults.Faults):
    """Faults of Azure Machine Learning's emulator.

    Services are ``arm``, ``history``, ``mlflow``, ``blob``, and ``trial`` for what running programs ask themselves.

    Operations of ``arm`` are ``PutJob``, ``GetJob``, ``ListJobs``, ``CancelJob``, ``DeleteJob`` and the like; those of
    ``mlflow`` are called as its paths are, e.g. ``runs/search``.
    """

    services: Collection[str] = ("arm", "history", "mlflow")
