"""The local provider passes the conformance suite."""

from typing import Any, ClassVar

import pytest

from cloudtune.testing import ProviderConformance


class TestLocal(ProviderConformance):
    quick_to_kill: ClassVar[dict[str, Any]] = {"local": {"grace": 0.2}}

    @pytest.fixture
    def on(self) -> str:
        return "local"
