"""SageMaker on this machine, for tests and for trying a job before it is paid for."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloudtune_sagemaker.emulator.faults import Faults
    from cloudtune_sagemaker.emulator.server import SageMakerEmulator
    from cloudtune_sagemaker.emulator.server import SageMakerEmulator as Emulator

__all__ = ["Emulator", "Faults", "SageMakerEmulator"]


def __getattr__(name: str) -> object:
    if name in ("SageMakerEmulator", "Emulator"):  # the other is what the entry point names
        from cloudtune_sagemaker.emulator.server import SageMakerEmulator  # noqa: PLC0415  # loads moto

        return SageMakerEmulator
    if name == "Faults":
        from cloudtune_sagemaker.emulator.faults import Faults  # noqa: PLC0415

        return Faults
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
