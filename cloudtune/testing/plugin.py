"""The pytest plugin: an emulator of any provider as a fixture, and the conformance suite, whose assertions show values.

``pytest --live PROFILE --live-budget 'USD 5'`` runs `cloudtune.testing.live` and nothing else; it asks before it spends
money, except with ``--live-yes``. Tests with the marker ``live`` are left out without the option.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from cloudtune.emulation.emulator import Emulator

pytest.register_assert_rewrite("cloudtune.testing.conformance")

_SUITE = Path(__file__).with_name("live.py")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the suite on a real service."""
    group = parser.getgroup("cloudtune")
    group.addoption("--live", metavar="PROFILE", help="run cloudtune's conformance suite on the service of a profile")
    group.addoption("--live-budget", metavar="MONEY", default="USD 5", help="what that may cost (default: USD 5)")
    group.addoption("--live-mode", choices=["managed", "driven"], help="the mode of all its jobs")
    group.addoption("--live-yes", action="store_true", help="start it without asking")


def pytest_configure(config: pytest.Config) -> None:
    """Add the markers, and have pytest run the suite on a real service if that is asked for."""
    config.addinivalue_line(
        "markers", "cloudtune_emulator(provider, **settings): whose emulator the fixture serves, and its settings"
    )
    config.addinivalue_line("markers", "live: runs on a real service and costs money; left out without --live PROFILE")
    if config.getoption("live"):
        _agree(config)
        config.args[:] = [str(_SUITE)]


def _agree(config: pytest.Config) -> None:
    """Ask whether money may be spent.

    Raises:
        pytest.UsageError: it may not, there is nobody to ask, or the profile or the budget cannot be used.
    """
    from cloudtune.config import load_profile  # noqa: PLC0415  # few test runs are on a service
    from cloudtune.spec.money import parse_money  # noqa: PLC0415
    from cloudtune.store.projects import project_folder  # noqa: PLC0415

    if config.getoption("numprocesses", None):
        raise pytest.UsageError("--live runs one test after the other, so that the budget holds for all: leave out -n")
    try:
        budget = parse_money(config.getoption("live_budget"))
        profile = load_profile(config.getoption("live"), project_folder())
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error
    if config.getoption("live_yes"):
        return
    if not sys.stdin.isatty():
        raise pytest.UsageError("--live starts jobs that cost money; start them without asking with --live-yes")
    question = f"Run the conformance suite on {profile.name} ({profile.provider}) for at most {budget}? [y/N] "
    if input(question).strip().lower() not in ("y", "yes"):
        raise pytest.UsageError("not started")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests on a real service, unless they are asked for."""
    if not config.getoption("live"):
        live = [item for item in items if item.get_closest_marker("live")]
        if live:
            config.hook.pytest_deselected(items=live)
            items[:] = [item for item in items if item not in live]


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
