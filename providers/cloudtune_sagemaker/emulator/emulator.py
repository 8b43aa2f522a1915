"""The emulator's class by the path that programs written before `server` import it from."""

from cloudtune_sagemaker.emulator.server import SageMakerEmulator

__all__ = ["SageMakerEmulator"]
