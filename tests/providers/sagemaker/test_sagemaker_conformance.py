"""SageMaker passes the conformance suite, by its own tuner and driven, through boto3 against the emulator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from late import LATE
from shown_elsewhere import LIMITS_AND_HANDLES, OF_DRIVEN_JOBS, PLAIN_JOBS

from cloudtune.testing import ProviderConformance

if LATE:
    pytest.importorskip("moto")

    from cloudtune_sagemaker.emulator import SageMakerEmulator


IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/training:1"


@pytest.fixture(scope="module")
def emulator() -> Iterator[SageMakerEmulator]:
    with SageMakerEmulator(grace=0.2) as running:
        yield running


def profile_for(emulator: SageMakerEmulator, project: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Writes a profile that leads to the emulator, and sets the environment that AWS's clients need."""
    for name, value in emulator.environment.items():
        monkeypatch.setenv(name, value)
    (project / "cloudtune.toml").write_text(
        f'[profiles.emulated]\nprovider = "sagemaker"\nendpoint = "{emulator.url}"\nregion = "{emulator.region}"\n'
        f'role = "{emulator.role}"\nbucket = "{emulator.bucket}"\npoll = 0.2\n'
    )
    return "emulated"


@pytest.mark.complete_are(*LIMITS_AND_HANDLES, *PLAIN_JOBS)
class TestManaged(ProviderConformance):
    @pytest.fixture
    def on(self, emulator: SageMakerEmulator, project: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        return profile_for(emulator, project, monkeypatch)

    @pytest.fixture
    def extras(self) -> dict[str, Any]:
        return {"trial": {"image": IMAGE}}


@pytest.mark.complete_are(*OF_DRIVEN_JOBS)
class TestDriven(TestManaged):
    @pytest.fixture
    def extras(self) -> dict[str, Any]:
        return {"trial": {"image": IMAGE}, "mode": "driven"}
