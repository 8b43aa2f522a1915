"""Vertex AI passes the conformance suite, by its own tuner and driven, over gRPC and over REST, against the emulator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from late import LATE
from shown_elsewhere import OF_THE_CORE

from cloudtune.testing import ProviderConformance

if LATE:
    pytest.importorskip("google.cloud.aiplatform_v1")

    from cloudtune_vertex.emulator import VertexEmulator


IMAGE = "us-docker.pkg.dev/project/training/image:1"


@pytest.fixture(scope="module", params=["grpc", pytest.param("rest", marks=pytest.mark.complete)])
def emulator(request: pytest.FixtureRequest) -> Iterator[VertexEmulator]:
    with VertexEmulator(transport=request.param, grace=0.2) as running:
        yield running


def profile_for(emulator: VertexEmulator, project: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Writes a profile that leads to the emulator, and sets the environment that Google's clients need."""
    for name, value in emulator.environment.items():
        if not name.startswith("CLOUDTUNE_"):
            monkeypatch.setenv(name, value)
    own = {
        name.removeprefix("CLOUDTUNE_VERTEX_").lower(): value
        for name, value in emulator.environment.items()
        if name.startswith("CLOUDTUNE_VERTEX_")
    }
    settings = {**own, "poll": "0.2"}
    lines = [f'{name} = "{value}"' for name, value in settings.items() if name not in ("image", "service_account")]
    (project / "cloudtune.toml").write_text(
        "\n".join(["[profiles.emulated]", 'provider = "vertex"', *lines]).replace('"0.2"', "0.2") + "\n"
    )
    return "emulated"


@pytest.mark.complete_are(*OF_THE_CORE)
class TestManaged(ProviderConformance):
    @pytest.fixture
    def on(self, emulator: VertexEmulator, project: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        return profile_for(emulator, project, monkeypatch)

    @pytest.fixture
    def extras(self) -> dict[str, Any]:
        return {"trial": {"image": IMAGE}}


@pytest.mark.complete
class TestDriven(TestManaged):
    @pytest.fixture
    def extras(self) -> dict[str, Any]:
        return {"trial": {"image": IMAGE}, "mode": "driven"}
