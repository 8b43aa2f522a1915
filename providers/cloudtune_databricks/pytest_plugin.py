"""The pytest plugin of this provider: a fixture with a Databricks workspace. Nothing of the SDK is imported before a test asks for it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cloudtune_databricks.emulator import DatabricksEmulator


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", "databricks_emulator(**settings): settings of the fixture's DatabricksEmulator")


@pytest.fixture
def databricks_emulator(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> "Iterator[DatabricksEmulator]":
    """Yield a Databricks workspace on this machine, with the environment set so that clients find it.

    The marker of the same name takes settings: ``@pytest.mark.databricks_emulator(parallel=2)``.
    """
    from cloudtune_databricks.emulator.fixture import emulated  # noqa: PLC0415  # loads the SDK

    marker = request.node.get_closest_marker("databricks_emulator")
    with emulated(monkeypatch, **(marker.kwargs if marker is not None else {})) as emulator:
        yield emulator
