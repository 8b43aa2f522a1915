"""What the pytest fixture ``databricks_emulator`` does; the plugin offers it where Databricks' SDK is installed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cloudtune.testing import emulators as testing
from cloudtune_databricks.emulator.server import DatabricksEmulator


@contextmanager
def emulated(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> Iterator[DatabricksEmulator]:
    """Yield an emulator that cloudtune and Databricks' own clients find while the test runs.

    Args:
        monkeypatch: of the test, which takes the variables away in one order with what the test itself sets.
        settings: of the emulator; see `DatabricksEmulator`.
    """
    with testing.emulated("databricks", monkeypatch, without=("DATABRICKS_",), **settings) as emulator:
        assert isinstance(emulator, DatabricksEmulator)
        yield emulator
