"""Databricks passes the conformance suite against the emulator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from late import LATE

from cloudtune.testing import ProviderConformance

if LATE:
    pytest.importorskip("databricks.sdk")

    from cloudtune_databricks.emulator import DatabricksEmulator


@pytest.fixture(scope="module")
def emulator() -> Iterator[DatabricksEmulator]:
    with DatabricksEmulator(grace=0.2) as running:
        yield running


@pytest.mark.complete
class TestDatabricks(ProviderConformance):
    @pytest.fixture
    def on(self, emulator: DatabricksEmulator, project: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        for name, value in emulator.environment.items():
            monkeypatch.setenv(name, value)
        (project / "cloudtune.toml").write_text('[profiles.emulated]\nprovider = "databricks"\npoll = 0.1\n')
        return "emulated"
