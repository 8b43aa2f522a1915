"""Account for the fields of one job by a provider's table of support."""

import math
from typing import ClassVar

from cloudtune.planning.plan import Beside, Ledger, Support
from cloudtune.planning.support import SupportTable
from cloudtune.spec.fields import Settled, alternatives, pick
from cloudtune.spec.job import TuningJob
from cloudtune.spec.sources import source_paths


class Account:
    """The base of what translates a job, or a part of one.

    Args:
        job: the spec.
        ledger: takes where each field goes.
    """

    support: ClassVar[SupportTable]
    """The provider's table."""

    def __init__(self, job: TuningJob, ledger: Ledger) -> None:
        self._job = job
        self._ledger = ledger

    def note(self, path: str, row: str = "", target: str = "") -> None:
        """Note a field as the table says.

        Args:
            path: of the field in the spec.
            row: of the table; "" for the path itself.
            target: the field's path in the request; "" if it is not there.
        """
        self._ledger.note(path, *self.support[row or path], target)

    def note_sources(self, target: str, *, helped: bool) -> None:
        """Note the sources of objectives and constraints, which are heard where the trial helper starts the program."""
        for path in source_paths(self._job):
            if helped:
                self.note(path, "objective.source", target)
            else:
                self.note(path, "objective.source.native")

    def note_given(self, part: str, *names: str, row: str = "", target: str = "") -> None:
        """Note those fields of a part of the spec, such as ``compute``, that the job gives; by one row, or their own."""
        for name in names:
            if getattr(getattr(self._job, part), name) not in (None, ()):
                self.note(f"{part}.{name}", row, target)

    def own(self, path: str, value: Settled, target: str) -> str | None:
        """Return what a setting that may have a value for each provider says here, and carry it if the job gives it."""
        if value is not None:
            self._ledger.carry_per_provider(path, value, target)
        return pick(value, self._ledger.provider)

    def note_several(self, path: str, value: Settled, row: str, target: str = "") -> None:
        """Note a setting that names several values for this provider, of which the request has the first."""
        if len(alternatives(value, self._ledger.provider)) > 1:
            self.note(path, row, target)

    def own_path(self, path: str, value: str | dict[str, str]) -> str:
        """Return the path of this provider's value of such a setting."""
        return path if isinstance(value, str) else f"{path}.{self._ledger.provider}"

    def carry_switch(self, path: str, on: bool, target: str) -> None:
        """Carry a switch that the request leaves out where it is off, as the service's default is."""
        self._ledger.carry(path, target if on else Beside.DEFAULT)

    def note_or_default(self, path: str, on: bool, row: str = "") -> None:
        """Note a switch that the service has not, where it is on."""
        if on:
            self.note(path, row)
        else:
            self._ledger.carry(path, Beside.DEFAULT)

    def note_isolation(self, asked: bool, *, ensured: bool) -> None:
        """Note that trials are to be cut off from the network, which a service without such a switch leaves to its surroundings.

        Args:
            asked: whether the job asks for it.
            ensured: whether the profile says that the surroundings do so.
        """
        self.note_or_default("network.isolated", asked, "network.isolated.profile" if ensured else "network.isolated")

    def note_code_of_none(self, *, starts_itself: bool) -> None:
        """Note the fields of a program that no trial starts: the image's own, or that of native settings, starts.

        Args:
            starts_itself: whether native settings say what starts.
        """
        self.note_given("trial", "source", "ignore", row="trial.source.native")
        if starts_itself:
            name = "command" if self._job.trial.command is not None else "function"
            self.note(f"trial.{name}", "trial.command.native")

    def whole(self, path: str, exact: float, counted: str, target: str) -> int:
        """Return a quantity rounded up to the whole units of a service, 1 at least, and account for the difference.

        Args:
            path: of the field.
            exact: its value in that unit.
            counted: how messages say what the service counts in, e.g. ``Vertex AI counts whole GB``.
            target: the field's path in the request.
        """
        whole = max(1, math.ceil(exact))
        self._ledger.carry_if(exact == whole, path, target, Support.APPROXIMATE, f"{counted}: {whole}")
        return whole
