"""The pytest plugin of this provider: a fixture with an emulator of Vertex AI. Nothing of Google is imported before a test asks for it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cloudtune_vertex.emulator import VertexEmulator


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", "vertex_emulator(**settings): settings of the fixture's VertexEmulator")


@pytest.fixture
def vertex_emulator(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> "Iterator[VertexEmulator]":
    """Yield an emulator of Vertex AI, with the environment and the SDK set so that they find it.

    The marker of the same name takes settings: ``@pytest.mark.vertex_emulator(images={"*": ["python3", "train.py"]})``.
    """
    from cloudtune_vertex.emulator.fixture import emulated  # noqa: PLC0415  # loads Google's SDK

    marker = request.node.get_closest_marker("vertex_emulator")
    with emulated(monkeypatch, **(marker.kwargs if marker is not None else {})) as emulator:
        yield emulator
