"""What the pytest fixture ``azureml_emulator`` does; the plugin offers it where Azure's SDK is installed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cloudtune.testing import emulators as testing
from cloudtune_azureml.emulator.server import AzureMlEmulator


@contextmanager
def emulated(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> Iterator[AzureMlEmulator]:
    """Yield an emulator that cloudtune and MLflow find while the test runs, and that `AzureMlEmulator.ml_client` leads to.

    Args:
        monkeypatch: of the test, which takes the variables away in one order with what the test itself sets.
        settings: of the emulator; see `AzureMlEmulator`.
    """
    with testing.emulated("azureml", monkeypatch, without=("AZURE_", "AZUREML_", "MLFLOW_"), **settings) as emulator:
        assert isinstance(emulator, AzureMlEmulator)
        yield emulator
