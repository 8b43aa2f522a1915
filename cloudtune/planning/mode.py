"""Which mode a job has on a service that has a tuner of its own, and why."""

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Literal

from cloudtune.planning.plan import Ledger, Support
from cloudtune.spec.job import TuningJob

Reason = tuple[str, str]
"""A path of the spec, and the row of the provider's table of support that says why it needs the driver."""


class Mode:
    """The choice between the service's own tuner and cloudtune's driver.

    Args:
        job: the spec.
        support: the provider's table; see `Provider.support`.
        reasons: yields what in the job the service's tuner cannot do; called once, and only if that decides something.
    """

    def __init__(
        self, job: TuningJob, support: Mapping[str, tuple[Support, str]], reasons: Callable[[], Iterable[Reason]]
    ) -> None:
        self._job = job
        self._support = support
        self._find_reasons = reasons

    @cached_property
    def _reasons(self) -> list[Reason]:
        return list(self._find_reasons())

    @cached_property
    def driven(self) -> bool:
        """Whether the job is driven: because it says so, or because nothing else can do it."""
        return self._job.mode == "driven" or (self._job.mode == "auto" and bool(self._reasons))

    @property
    def name(self) -> Literal["driven", "managed"]:
        """What a plan calls the mode."""
        return "driven" if self.driven else "managed"

    def note_why_driven(self, ledger: Ledger) -> None:
        """Note what makes the job a driven one; nothing where the job itself says so."""
        if self._job.mode == "auto":
            for path, row in self._reasons:
                ledger.note(path, Support.DRIVEN, self._support[row][1])

    def note_unsupported(self, ledger: Ledger) -> None:
        """Note what the service's tuner cannot do, as unsupported, for a request to that tuner."""
        for path, row in self._reasons:
            message = f"{self._support[row][1].partition(':')[0]}; take mode: managed away"
            ledger.note(path, Support.UNSUPPORTED, message)
