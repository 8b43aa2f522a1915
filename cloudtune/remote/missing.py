"""The provider of a run whose own cannot be loaded: what the store knows of the run can be read all the same."""

# ruff: noqa: ARG002  # every method raises the same

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from cloudtune.errors import ConfigError
from cloudtune.provider.interface import Finding, Provider
from cloudtune.results.progress import Watcher
from cloudtune.store.records import RunState

if TYPE_CHECKING:
    from cloudtune.planning.plan import Plan
    from cloudtune.spec.job import TuningJob
    from cloudtune.store.store import RunStore


class MissingProvider(Provider):
    """Stands for the provider of a run that cannot be loaded; whatever needs more than the store raises why.

    Args:
        why: the error of loading it.
    """

    name = ""
    summary = "a provider that cannot be loaded"
    support: ClassVar = {}

    def __init__(self, why: ConfigError) -> None:
        super().__init__({})
        self._why = why

    def plan(self, job: "TuningJob") -> "Plan":
        raise self._why

    def check(self) -> list[Finding]:
        raise self._why

    def start(self, run: "RunStore") -> None:
        raise self._why

    def follow(self, run: "RunStore", watcher: Watcher | None = None) -> RunState:
        raise self._why

    def refresh(self, run: "RunStore") -> None:
        raise self._why

    def cancel(self, run: "RunStore") -> None:
        raise self._why

    def logs(self, run: "RunStore", number: int, *, follow: bool = False) -> Iterator[str]:
        raise self._why

    def fetch(self, run: "RunStore", number: int, target: Path) -> list[Path]:
        raise self._why
