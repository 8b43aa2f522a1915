"""For authors of providers: the conformance suite, and generators of jobs for property tests.

A provider is complete when this passes::

    from cloudtune.testing import ProviderConformance

    class TestMyProvider(ProviderConformance):
        @pytest.fixture
        def on(self) -> str:
            return "mycluster"
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloudtune.testing.conformance import ProviderConformance as ProviderConformance

__all__ = ["ProviderConformance"]


def __getattr__(name: str) -> object:
    if name != "ProviderConformance":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from cloudtune.testing.conformance import ProviderConformance  # noqa: PLC0415  # needs pytest and hypothesis

    return ProviderConformance
