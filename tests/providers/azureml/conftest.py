"""What all tests of Azure Machine Learning share."""

import sys

import pytest


@pytest.fixture(autouse=True)
def _no_search_through_the_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether to warn, Azure's SDK finds out by the sources of all callers: a third of what these tests would take."""
    experimental = sys.modules.get("azure.ai.ml._utils._experimental")
    if experimental is not None:
        monkeypatch.setattr(experimental, "_should_skip_warning", lambda: True)
