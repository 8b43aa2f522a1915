"""Plan jobs and launch runs: of paid ones only what was planned, at the price that was said, once."""

import hashlib
import json
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloudtune import api
from cloudtune.costs.estimate import Estimate
from cloudtune.costs.launching import estimate_of, is_paid
from cloudtune.errors import ConfigError, NotLaunched
from cloudtune.mcp.policy import Policy
from cloudtune.planning.plan import Plan
from cloudtune.planning.summary import summary
from cloudtune.plugins.entry_points import rents_machines
from cloudtune.remote.resolving import resolve
from cloudtune.run import Run
from cloudtune.spec.job import TuningJob
from cloudtune.spec.money import Money, parse_money
from cloudtune.spec.text.changing import put, yaml_value
from cloudtune.spec.text.reading import read_file

_LIFETIME = 900.0
"""Seconds for which a confirmation holds."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A job as it would be launched.

    Attributes:
        job: with the changes and the budget.
        plan: of it.
        base: the folder of its file.
        project: that it is run in.
        profile: that it is run on; None for the default one.
        paid: whether it runs on machines that a service rents out or that have a price, or a service suggests its trials, and no emulator
            answers for that.
        estimate: what it costs; None where no price is known.
        budget: the most that it may spend; None for a run without one.
    """

    job: TuningJob
    plan: Plan
    base: Path
    project: Path
    profile: str | None
    paid: bool
    estimate: Estimate | None
    budget: Money | None

    @property
    def cost(self) -> str:
        """What it costs, in words; "" where no price is known."""
        return "" if self.estimate is None else str(self.estimate)

    @property
    def digest(self) -> str:
        """A hash of the job, where it runs, what the plan makes of it and what that costs at most."""
        most = None if self.estimate is None else [str(self.estimate.most), self.estimate.rate.to_data()]
        parts = [self.job.to_data(), self.plan.to_data(), str(self.project), self.profile, str(self.budget), most]
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()

    def currency(self) -> str:
        """Return the currency of its prices.

        Raises:
            NotLaunched: no price is known, so that no budget could be kept.
        """
        if self.estimate is None:
            raise NotLaunched(
                "no price of its machines is known, so that no budget could be kept; [prices] in cloudtune.toml gives one"
            )
        return self.estimate.rate.currency


def planned(
    policy: Policy, job: str, on: str | None, project: str | None, changes: Mapping[str, Any], budget: str | None
) -> Planned:
    """Return a job of a file as it would be launched; asks no service.

    Args:
        policy: of the server.
        job: the path of the file, in the project.
        on: the profile; None for the default one.
        project: its name or path; None for the first one.
        changes: other values of fields, by their paths, such as ``limits.trials``.
        budget: the most that it may spend; the job's own ``limits.cost`` counts where that is less.

    Raises:
        CloudtuneError: the file is no valid job, or the policy does not know it.
    """
    folder = policy.project(project)
    path = policy.job_file(job, folder)
    limit = None if budget is None else _money(budget)
    changed = dict(changes)
    spec = _with(path, changed)
    own = spec.limits.cost
    if limit is not None and (own is None or own.amount > limit.amount):
        spec = _with(path, {**changed, "limits.cost": str(limit)})
    if policy.read_only:
        _refuse_elsewhere(spec, path.parent, folder)
    provider = resolve(on, folder, path.parent)[0]
    plan = api.plan(spec, on, project=folder, base=path.parent)
    suggesting = [resolve(name, folder, path.parent)[0] for name in spec.strategy.services]
    paid = is_paid(plan, set(provider.emulators())) or any(
        rents_machines(each.name) and not each.emulators() for each in suggesting
    )
    estimate = estimate_of(spec, plan, folder)
    return Planned(spec, plan, path.parent, folder, on, paid, estimate, spec.limits.cost)


def _refuse_elsewhere(spec: TuningJob, base: Path, project: Path) -> None:
    """Raise ConfigError where a plan would read a folder or a table that lies outside of the project."""
    table = None if spec.warm_start is None else spec.warm_start.table
    for name in filter(None, (spec.trial.source, table)):
        if not (base / name).resolve().is_relative_to(project):
            raise ConfigError(f"{name} lies outside of the project {project}, which is all that this server reads")


def _money(text: str) -> Money:
    try:
        return parse_money(text)
    except ValueError as error:
        raise ConfigError(f"budget: {error}") from None


def _with(path: Path, changes: Mapping[str, Any]) -> TuningJob:
    if not changes:
        return TuningJob.from_yaml(path)
    data = yaml_value(read_file(path), str(path))
    if not isinstance(data, dict):
        return TuningJob.from_yaml(path)  # which says what is wrong
    for place, value in changes.items():
        try:
            put(data, place, value)
        except ValueError as error:
            raise ConfigError(f"changes: {place}: {error}") from None
    return TuningJob.from_data(data, f"{path.name} with changes")


@dataclass(slots=True)
class Confirmations:
    """The confirmations that plans of paid runs were given, each of which launches that very run once.

    Attributes:
        lifetime: seconds for which one holds.
    """

    lifetime: float = _LIFETIME
    _given: dict[str, tuple[str, float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def give(self, planned: Planned) -> str:
        """Return a new confirmation of a plan."""
        token = secrets.token_urlsafe(12)
        with self._lock:
            now = time.monotonic()
            self._given = {key: entry for key, entry in self._given.items() if entry[1] > now}
            self._given[token] = (planned.digest, now + self.lifetime)
        return token

    def fits(self, token: str | None, planned: Planned) -> None:
        """Raise NotLaunched unless a confirmation is one of this plan at this price, and still holds."""
        with self._lock:
            self._check(token, planned)

    def use(self, token: str | None, planned: Planned) -> None:
        """Use a confirmation up.

        Raises:
            NotLaunched: as `fits`.
        """
        with self._lock:
            self._check(token, planned)
            del self._given[token or ""]

    def _check(self, token: str | None, planned: Planned) -> None:
        digest, until = self._given.get(token or "", ("", 0.0))
        if not digest or until < time.monotonic():
            raise NotLaunched(
                "a run that costs money takes the confirmation of its plan: call plan with the same job, on, changes and "
                "budget, show the cost to the user, and once they agree call run with that confirmation"
            )
        if digest != planned.digest:
            raise NotLaunched(
                "the job, its plan or its price is not what was confirmed: plan it again, and show the cost to the user"
            )


def refuse_unless_agreed(policy: Policy, confirmations: Confirmations, made: Planned, confirmation: str | None) -> None:
    """Raise NotLaunched for a paid run that the policy does not allow, or that was not confirmed as it is."""
    if policy.read_only:
        raise NotLaunched("this server reads only; its user may start it without --read-only")
    if not made.paid:
        return
    policy.refuse_unless_paid()
    if made.budget is None:
        raise NotLaunched("a run that costs money takes a budget, the most that it may spend, such as 'USD 5'")
    policy.left(made.budget, made.currency())
    confirmations.fits(confirmation, made)


def launch(policy: Policy, confirmations: Confirmations, made: Planned, confirmation: str | None) -> Run:
    """Start a run, which goes on without the server, and return it.

    Raises:
        CloudtuneError: it is refused, by the policy or by its provider.
    """
    refuse_unless_agreed(policy, confirmations, made, confirmation)
    made.plan.refuse(strict=made.job.strict)
    if made.paid and made.budget is not None:
        confirmations.use(confirmation, made)
        policy.grant(made.budget, made.currency())
    return api.submit(made.job, made.profile, project=made.project, base=made.base)


def plan_data(made: Planned) -> dict[str, Any]:
    """Return what a plan says, as plain data."""
    return {
        "name": made.job.name,
        "summary": summary(made.job, made.plan).to_data(),
        "notes": [str(note) for note in made.plan.notes],
        "paid": made.paid,
        "cost": made.cost,
        "estimate": None if made.estimate is None else made.estimate.to_data(),
        "budget": None if made.budget is None else str(made.budget),
    }
