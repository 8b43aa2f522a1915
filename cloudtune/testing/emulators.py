"""Emulators for tests: what the fixtures of providers do, and the fixture ``cloudtune_emulator`` for any provider."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cloudtune.emulation.emulator import Emulator
from cloudtune.provider.emulated import emulator_of


@contextmanager
def emulated(
    provider: str, monkeypatch: pytest.MonkeyPatch, *, without: tuple[str, ...] = (), **settings: Any
) -> Iterator[Emulator[Any]]:
    """Serve an emulator that cloudtune and the service's own clients find by the environment, while a test runs.

    Args:
        provider: whose emulator it is.
        monkeypatch: of the test, which takes the variables away in one order with what the test itself sets.
        without: how names of variables begin that would lead those clients elsewhere; they are taken away meanwhile.
        settings: of the emulator.

    Raises:
        ConfigError: there is no emulator of the provider, or a package that it needs is not installed.
    """
    make: Callable[..., Emulator[Any]] = emulator_of(provider)
    with make(**settings) as emulator:
        for name in [name for name in os.environ if without and name.startswith(without)]:
            monkeypatch.delenv(name)
        for name, value in emulator.environment.items():
            monkeypatch.setenv(name, value)
        yield emulator
