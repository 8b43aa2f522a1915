"""What the pytest fixture ``kubernetes_emulator`` does; the plugin offers it where the official client is installed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cloudtune.testing import emulators as testing
from cloudtune_kubernetes.emulator.server import KubernetesEmulator


@contextmanager
def emulated(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> Iterator[KubernetesEmulator]:
    """Yield an emulator that cloudtune, kubectl and the official clients find while the test runs.

    Args:
        monkeypatch: of the test, which takes the variables away in one order with what the test itself sets.
        settings: of the emulator; see `KubernetesEmulator`.
    """
    with testing.emulated("kubernetes", monkeypatch, without=("KUBE",), **settings) as emulator:
        assert isinstance(emulator, KubernetesEmulator)
        yield emulator
