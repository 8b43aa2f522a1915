"""What the pytest fixture ``sagemaker_emulator`` does; the plugin offers it where moto is installed."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cloudtune.testing import emulators as testing
from cloudtune_sagemaker.emulator.server import SageMakerEmulator


@contextmanager
def emulated(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> Iterator[SageMakerEmulator]:
    """Yield an emulator that every client of AWS in this process, and in those that it starts, finds while the test runs.

    Args:
        monkeypatch: of the test, which takes the variables away in one order with what the test itself sets.
        settings: of the emulator; see `SageMakerEmulator`.
    """
    with testing.emulated("sagemaker", monkeypatch, without=("AWS_",), **settings) as emulator:
        assert isinstance(emulator, SageMakerEmulator)
        _forget_clients()
        try:
            yield emulator
        finally:
            _forget_clients()


def _forget_clients() -> None:
    """Let ``boto3.client`` and SageMaker's SDK, which keep sessions and clients, make them of the environment anew."""
    import boto3  # noqa: PLC0415  # the emulator itself needs it, through moto

    boto3.DEFAULT_SESSION = None
    sdk = sys.modules.get("sagemaker.core.utils.utils")
    if sdk is not None:
        sdk.SageMakerClient.reset()
        sdk.SingletonMeta._instances.clear()  # noqa: SLF001  # there is no other way
