"""Fixtures of the tests of Kubernetes' emulator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """One emulator for the tests of a file, none of which leaves anything that others see."""
    pytest.importorskip("kubernetes")
    from cloudtune_kubernetes.emulator import KubernetesEmulator

    with KubernetesEmulator(backoff=0.02, grace=0.5) as emulator:
        yield emulator
        assert emulator.cluster.loop.failures == []


@pytest.fixture
def served(cluster: Any) -> Any:
    """The emulator through the official client."""
    from kubernetes_jobs import Served

    return Served(cluster.client())
