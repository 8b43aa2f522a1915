"""The pytest plugin of this provider: a fixture with an emulator of SageMaker. Nothing of AWS is imported before a test asks for it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cloudtune_sagemaker.emulator import SageMakerEmulator


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", "sagemaker_emulator(**settings): settings of the fixture's SageMakerEmulator")


@pytest.fixture
def sagemaker_emulator(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> "Iterator[SageMakerEmulator]":
    """Yield an emulator of Amazon SageMaker, with the environment set so that boto3 and every other client finds it.

    The marker of the same name takes settings: ``@pytest.mark.sagemaker_emulator(images={"*": "python3 train.py"})``.
    """
    from cloudtune_sagemaker.emulator.fixture import emulated  # noqa: PLC0415  # loads moto

    marker = request.node.get_closest_marker("sagemaker_emulator")
    with emulated(monkeypatch, **(marker.kwargs if marker is not None else {})) as emulator:
        yield emulator
