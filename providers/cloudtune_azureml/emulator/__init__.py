"""Azure Machine Learning on this machine, for tests and for trying a job before it is paid for."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloudtune_azureml.emulator.faults import Faults
    from cloudtune_azureml.emulator.server import AzureMlEmulator
    from cloudtune_azureml.emulator.server import AzureMlEmulator as Emulator

__all__ = ["AzureMlEmulator", "Emulator", "Faults"]


def __getattr__(name: str) -> object:
    if name in ("AzureMlEmulator", "Emulator"):  # the other is what the entry point names
        from cloudtune_azureml.emulator.server import AzureMlEmulator  # noqa: PLC0415  # loads a web server

        return AzureMlEmulator
    if name == "Faults":
        from cloudtune_azureml.emulator.faults import Faults  # noqa: PLC0415

        return Faults
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
