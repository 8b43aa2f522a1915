"""The pytest plugin of this provider: a fixture with a Kubernetes cluster. Nothing of the official client is imported before a test asks for it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cloudtune_kubernetes.emulator import KubernetesEmulator


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", "kubernetes_emulator(**settings): settings of the fixture's KubernetesEmulator")


@pytest.fixture
def kubernetes_emulator(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> "Iterator[KubernetesEmulator]":
    """Yield a Kubernetes cluster on this machine, with the environment set so that clients find it.

    The marker of the same name takes settings: ``@pytest.mark.kubernetes_emulator(resources={"nvidia.com/gpu": "4"})``.
    """
    from cloudtune_kubernetes.emulator.fixture import emulated  # noqa: PLC0415  # loads the official client

    marker = request.node.get_closest_marker("kubernetes_emulator")
    with emulated(monkeypatch, **(marker.kwargs if marker is not None else {})) as emulator:
        yield emulator
