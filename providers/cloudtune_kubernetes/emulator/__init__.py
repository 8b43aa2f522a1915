"""A Kubernetes cluster on this machine, for tests and for trying a job before it is given to a real one."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloudtune_kubernetes.emulator.faults import Faults
    from cloudtune_kubernetes.emulator.server import KubernetesEmulator
    from cloudtune_kubernetes.emulator.server import KubernetesEmulator as Emulator

__all__ = ["Emulator", "Faults", "KubernetesEmulator"]


def __getattr__(name: str) -> object:
    if name in ("KubernetesEmulator", "Emulator"):  # the other is what the entry point names
        from cloudtune_kubernetes.emulator.server import KubernetesEmulator  # noqa: PLC0415  # loads the official client

        return KubernetesEmulator
    if name == "Faults":
        from cloudtune_kubernetes.emulator.faults import Faults  # noqa: PLC0415

        return Faults
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
