"""What the pytest fixture ``azureml_emulator`` does; the plugin offers it where Azure's SDK is installed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cloudtune_azureml.emulator.server import AzureMlEmulator


@contextmanager
def emulated(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> Iterator[AzureMlEmulator]:
    """An emulator that cloudtune and MLflow find while the test runs, and that `AzureMlEmulator.ml_client` leads to.

    Args:
        monkeypatch: of the test, which takes the variables away in one order with what the test itself sets.
        settings: of the emulator; see `AzureMlEmulator`.
    """
    with AzureMlEmulator(**settings) as emulator:
        for name in [name for name in os.environ if name.startswith(("AZURE_", "AZUREML_", "MLFLOW_"))]:
            monkeypatch.delenv(name)
        for name, value in emulator.environment.items():
            monkeypatch.setenv(name, value)
        yield emulator
