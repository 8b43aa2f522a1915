"""The pytest plugin: an emulator of any provider as a fixture, and assertions of the conformance suite that show values."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from cloudtune.emulation.emulator import Emulator

pytest.register_assert_rewrite("cloudtune.testing.conformance")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers", "cloudtune_emulator(provider, **settings): whose emulator the fixture serves, and its settings"
    )


@pytest.fixture
def cloudtune_emulator(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> "Iterator[Emulator[Any]]":
    """Serve the emulator of a provider, with the environment set so that cloudtune and other clients find it.

    The marker of the same name says which: ``@pytest.mark.cloudtune_emulator("mycloud", mounts={…})``.
    """
    from cloudtune.testing.emulators import emulated  # noqa: PLC0415  # few tests want one

    marker = request.node.get_closest_marker("cloudtune_emulator")
    if marker is None or len(marker.args) != 1:
        raise pytest.UsageError('say whose emulator it is: @pytest.mark.cloudtune_emulator("NAME")')
    with emulated(marker.args[0], monkeypatch, **marker.kwargs) as emulator:
        yield emulator
