"""What the tests of frameworks share: a trial whose reports are seen, and each test skipped without its library."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import cloudtune.trial as trial

Reports = list[tuple[int, dict[str, float]]]


@pytest.fixture
def reports(tmp_path: Path) -> Iterator[Reports]:
    """Run the test as a trial, and return the list of what it reports: steps and metrics."""
    found: Reports = []
    sink = lambda step, _, metrics: found.append((step, metrics))  # noqa: E731
    trial.enter(trial.Context({}, sink=sink, folder=str(tmp_path / "trial")))
    yield found
    trial.leave()
