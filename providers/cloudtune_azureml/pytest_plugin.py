"""The pytest plugin of this provider: a fixture with an emulator of Azure Machine Learning. Nothing of Azure is imported before a test asks for it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cloudtune_azureml.emulator import AzureMlEmulator


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", "azureml_emulator(**settings): settings of the fixture's AzureMlEmulator")


@pytest.fixture
def azureml_emulator(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> "Iterator[AzureMlEmulator]":
    """Yield an emulator of Azure Machine Learning, with the environment set so that it is found.

    The marker of the same name takes settings: ``@pytest.mark.azureml_emulator(grace=0.2)``.
    """
    from cloudtune_azureml.emulator.fixture import emulated  # noqa: PLC0415  # loads a web server

    marker = request.node.get_closest_marker("azureml_emulator")
    with emulated(monkeypatch, **(marker.kwargs if marker is not None else {})) as emulator:
        yield emulator
