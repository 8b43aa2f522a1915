"""Azure Machine Learning passes the conformance suite, by its own sweeps and driven, against the emulator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from late import LATE
from shown_elsewhere import LIMITS_AND_HANDLES, PLAIN_JOBS

from cloudtune.testing import ProviderConformance

if LATE:
    pytest.importorskip("azure.ai.ml")

    from cloudtune_azureml.emulator import AzureMlEmulator


@pytest.fixture(scope="module")
def emulator() -> Iterator[AzureMlEmulator]:
    with AzureMlEmulator(grace=0.2) as running:
        yield running


def profile_for(emulator: AzureMlEmulator, project: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Writes a profile that leads to the emulator, and sets the environment by which clients trust it."""
    lines = []
    for name, value in emulator.environment.items():
        if name.startswith("CLOUDTUNE_AZUREML_"):
            own = name.removeprefix("CLOUDTUNE_AZUREML_").lower()
            lines.append("poll = 0.2" if own == "poll" else f'{own} = "{value}"')
        else:
            monkeypatch.setenv(name, value)
    text = "\n".join(["[profiles.emulated]", 'provider = "azureml"', *lines])
    (project / "cloudtune.toml").write_text(f"{text}\n")
    return "emulated"


@pytest.mark.complete_are(*LIMITS_AND_HANDLES, *PLAIN_JOBS, "test_a_script_that_knows_nothing_of_cloudtune_works")
class TestManaged(ProviderConformance):
    @pytest.fixture
    def on(self, emulator: AzureMlEmulator, project: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        return profile_for(emulator, project, monkeypatch)


@pytest.mark.complete
class TestDriven(TestManaged):
    @pytest.fixture
    def extras(self) -> dict[str, Any]:
        return {"mode": "driven"}
