"""Fixtures that several files share."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from emulator_requests import emulators

__all__ = ["emulators"]


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder of a path as short as those of systems are."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="ct") as folder:
        monkeypatch.setattr("tempfile.tempdir", folder)
        yield Path(folder)
