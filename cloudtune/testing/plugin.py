"""The pytest plugin: the fixtures of the emulators, and assertions of the conformance suite that explain themselves.

Nothing of a cloud is imported before a test asks for its emulator.
"""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cloudtune_sagemaker.emulator import SageMakerEmulator

pytest.register_assert_rewrite("cloudtune.testing.conformance")


def pytest_configure(config: pytest.Config) -> None:
    """Makes the markers known."""
    config.addinivalue_line("markers", "sagemaker_emulator(**settings): settings of the fixture's SageMakerEmulator")


if find_spec("moto") is not None and find_spec("cloudtune_sagemaker") is not None:

    @pytest.fixture
    def sagemaker_emulator(
        request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
    ) -> "Iterator[SageMakerEmulator]":
        """An emulator of Amazon SageMaker, with the environment set so that boto3 and every other client finds it.

        The marker of the same name takes settings: ``@pytest.mark.sagemaker_emulator(images={"*": "python3 train.py"})``.
        """
        from cloudtune_sagemaker.emulator.fixture import emulated  # noqa: PLC0415  # loads moto

        marker = request.node.get_closest_marker("sagemaker_emulator")
        with emulated(monkeypatch, **(marker.kwargs if marker is not None else {})) as emulator:
            yield emulator
