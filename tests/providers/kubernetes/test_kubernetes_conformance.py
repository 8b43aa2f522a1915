"""Kubernetes passes the conformance suite against the emulator, with a Job for each trial, and as Katib's Experiments."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from late import LATE

from cloudtune.testing import ProviderConformance

if LATE:
    pytest.importorskip("kubernetes")

    from cloudtune_kubernetes.emulator import KubernetesEmulator


@pytest.fixture(scope="module")
def emulator() -> Iterator[KubernetesEmulator]:
    with KubernetesEmulator(grace=0.2, lenient=True) as running:
        yield running


@pytest.mark.complete
class TestDriven(ProviderConformance):
    settings = ""

    @pytest.fixture
    def on(self, emulator: KubernetesEmulator, project: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        for name, value in emulator.environment.items():
            monkeypatch.setenv(name, value)
        profile = '[profiles.emulated]\nprovider = "kubernetes"\npoll = 0.1\noutput = "pvc://outputs/tuning"\n'
        (project / "cloudtune.toml").write_text(profile + self.settings)
        return "emulated"

    @pytest.fixture
    def extras(self) -> dict[str, Any]:
        return {"trial": {"image": "registry.example.com/training:1"}}


@pytest.mark.complete
class TestManaged(TestDriven):
    settings = "katib = true\n"
