"""What the tests of frameworks share: a trial whose reports are seen, and each test skipped without its library."""

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

import cloudtune.trial as trial

collect_ignore_glob = [] if find_spec("torch") else ["test_*.py"]
"""These tests have an environment of their own: the extra `frameworks`, and PyTorch."""

os.environ.setdefault("KERAS_BACKEND", "torch")  # before Keras is first imported

Reports = list[tuple[int, dict[str, float]]]


@pytest.fixture
def reports(tmp_path: Path) -> Iterator[Reports]:
    """Run the test as a trial, and return the list of what it reports: steps and metrics."""
    found: Reports = []
    sink = lambda step, _, metrics: found.append((step, metrics))  # noqa: E731
    trial.enter(trial.Context({}, sink=sink, folder=str(tmp_path / "trial")))
    yield found
    trial.leave()
