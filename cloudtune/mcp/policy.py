"""What a server may do: its projects, whether it starts anything, and what paid runs may cost together."""

import threading
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from cloudtune.errors import ConfigError, NotLaunched, RunNotFound
from cloudtune.remote.resolving import provider_of
from cloudtune.run import Run
from cloudtune.spec.money import Money, format_money
from cloudtune.store.store import Store


@dataclass(slots=True)
class Policy:
    """The limits that the server's user sets when it starts; no tool changes them.

    Attributes:
        projects: the folders whose jobs and runs it knows; the first is the default one.
        read_only: whether it starts and ends nothing.
        allow_paid: whether it may start runs on services that cost money.
        max_cost: what the budgets of all paid runs that it starts may come to; None only where none is allowed.
        granted: what they come to so far.
    """

    projects: tuple[Path, ...]
    read_only: bool = False
    allow_paid: bool = False
    max_cost: Money | None = None
    granted: Decimal = Decimal(0)
    _granting: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.projects = tuple(folder.resolve() for folder in self.projects)
        if not self.projects:
            raise ConfigError("name a project for the server")
        if self.allow_paid and self.max_cost is None:
            raise ConfigError("paid runs need a bound on what all of them may cost: --max-cost 'USD 20'")

    def project(self, name: str | None) -> Path:
        """Return a project by its path or the last part of it; the first one for None.

        Raises:
            ConfigError: the server was not started for it.
        """
        if name is None:
            return self.projects[0]
        found = [folder for folder in self.projects if name in (str(folder), folder.name)]
        if len(found) != 1:
            raise ConfigError(
                f"this server does not know the project {name!r}; its projects are {', '.join(map(str, self.projects))}"
            )
        return found[0]

    def job_file(self, name: str, project: Path) -> Path:
        """Return the path of a job's file, which lies in the project.

        Raises:
            ConfigError: it lies elsewhere, also by way of links, or is not there.
        """
        path = (project / name).resolve()
        if not path.is_relative_to(project):
            raise ConfigError(f"{name} lies outside of the project {project}, which is all that this server reads")
        if not path.is_file():
            raise ConfigError(f"there is no file {name} in {project}")
        return path

    def run(self, run_id: str, project: Path) -> Run:
        """Return a run of a project, by its id, the beginning of it, or ``latest``.

        Raises:
            RunNotFound: the project has no such run; runs of other projects are not looked for.
        """
        if not run_id:
            raise RunNotFound("name a run, or latest")
        stored = Store(project).run(run_id)
        return Run(stored, provider_of(stored.record(), project))

    def left(self, budget: Money, currency: str) -> None:
        """Raise NotLaunched unless a budget fits what is left for paid runs.

        Args:
            budget: of the run.
            currency: of the machines' prices.
        """
        most = self.refuse_unless_paid()
        for said, whose in ((budget, "the budget"), (most, "this server's --max-cost")):
            if said.currency not in ("", currency):
                raise NotLaunched(f"{whose} is in {said.currency}, and the machines' prices are in {currency}")
        if self.granted + budget.amount > most.amount:
            left = format_money(max(most.amount - self.granted, Decimal(0)), currency)
            raise NotLaunched(f"the budget is more than the {left} that are left of this server's --max-cost")

    def refuse_unless_paid(self) -> Money:
        """Return what paid runs may cost together; raise NotLaunched where none is allowed."""
        if self.max_cost is None or not self.allow_paid:
            raise NotLaunched(
                "this server starts no run that costs money; its user may start it with --allow-paid --max-cost 'USD 20'"
            )
        return self.max_cost

    def grant(self, budget: Money, currency: str) -> None:
        """Take a budget from what is left, once and for good: what a run does not spend is not given back.

        Raises:
            NotLaunched: it does not fit.
        """
        with self._granting:
            self.left(budget, currency)
            self.granted += budget.amount
