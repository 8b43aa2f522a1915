"""What the pytest fixture ``vertex_emulator`` does; the plugin offers it where Google's SDK is installed."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cloudtune.testing import emulators as testing
from cloudtune_vertex.emulator.server import VertexEmulator


@contextmanager
def emulated(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> Iterator[VertexEmulator]:
    """Yield an emulator that cloudtune, Cloud Storage's client and the SDK of this process find while the test runs.

    Vertex AI's SDK has no variable for its address: `aiplatform.init` is called here, so that code which names its
    project and location alone reaches the emulator. It speaks REST; gRPC would need TLS there.

    Args:
        monkeypatch: of the test, which takes the variables away in one order with what the test itself sets.
        settings: of the emulator; see `VertexEmulator`.
    """
    from google.cloud import aiplatform  # noqa: PLC0415  # takes seconds

    with testing.emulated("vertex", monkeypatch, without=("GOOGLE_", "CLOUDSDK_"), **settings) as emulator:
        assert isinstance(emulator, VertexEmulator)
        before = dict(vars(aiplatform.initializer.global_config))
        aiplatform.init(
            project=emulator.project,
            location=emulator.location,
            staging_bucket=f"gs://{emulator.bucket}",
            credentials=emulator.credentials,
            api_endpoint=emulator.url,
            api_transport="rest",
        )
        try:
            yield emulator
        finally:
            vars(aiplatform.initializer.global_config).clear()
            vars(aiplatform.initializer.global_config).update(before)


def shorten_waits(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Have the SDK look at its jobs more often than every few seconds."""
    for name, module in list(sys.modules.items()):
        if name.startswith("google.cloud.aiplatform") and hasattr(module, "_JOB_WAIT_TIME"):
            monkeypatch.setattr(module, "_JOB_WAIT_TIME", seconds)
