"""The emulator's class by the path that programs written before `server` import it from."""

from cloudtune_azureml.emulator.server import AzureMlEmulator

__all__ = ["AzureMlEmulator"]
