"""What a job costs, said before it is launched, and asked about where it is much."""

import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from cloudtune.errors import NotLaunched

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from cloudtune.costs.estimate import Estimate
    from cloudtune.planning.plan import Plan
    from cloudtune.run import Run
    from cloudtune.spec.job import TuningJob


def estimate_of(job: "TuningJob", plan: "Plan", project: "Path") -> "Estimate | None":
    """Return what a job costs by its plan and the project's earlier runs; None where no price is known."""
    from cloudtune.costs.estimate import estimate  # noqa: PLC0415
    from cloudtune.costs.history import earlier_durations  # noqa: PLC0415
    from cloudtune.planning.summary import summary  # noqa: PLC0415
    from cloudtune.store.store import Store  # noqa: PLC0415

    if not plan.rates:
        return None
    took, whose = earlier_durations(Store(project), job, plan)
    return estimate(job, plan, summary(job, plan), took, whose)


def cost_line(job: "TuningJob", plan: "Plan", project: "Path") -> str:
    """Return the line that says what a job costs; "" on machines that no list has."""
    found = estimate_of(job, plan, project)
    if found is not None:
        return str(found)
    return f"{plan.machines.kind} at a price that is not known" if _is_paid(plan) and plan.machines is not None else ""


def _is_paid(plan: "Plan", emulated: "Collection[str]" = ()) -> bool:
    """Return whether trials run on machines that a service rents out, or may.

    Args:
        plan: of the job; that of several profiles has the plan of each in its request.
        emulated: the provider, or those of several profiles, for which an emulator answers.
    """
    from cloudtune.plugins.entry_points import pools, rents_machines  # noqa: PLC0415

    whose: Mapping[str, Any] = {plan.provider: {"provider": plan.provider}}
    if plan.provider in pools():
        whose = plan.request
    return any(rents_machines(part["provider"]) for name, part in whose.items() if name not in emulated)


def ask_before_spending(made: "Run", job: "TuningJob", *, yes: bool, quiet: bool) -> None:
    """Say what a run on a paid service costs, and ask whether to launch it where that is more than the config's limit.

    Without a terminal nothing is asked: a job is launched if its cost, or its time on machines, has a bound.

    Args:
        made: the run, which has not started.
        job: the spec.
        yes: whether the user has agreed already.
        quiet: whether to say what it costs only where that is asked about.

    Raises:
        NotLaunched: the user said no, or there is no terminal and nothing bounds the job.
    """
    from cloudtune.config import confirm_above  # noqa: PLC0415

    plan = made.plan
    if not _is_paid(plan, made.record.emulators):
        return
    found = estimate_of(job, plan, made.project)
    agreed = yes or _is_little(found, confirm_above(made.project))
    if not (agreed and quiet):
        click.echo(cost_line(job, plan, made.project), err=True)
    if agreed:
        return
    bounds = "give limits.cost, limits.time or limits.trial_time, or launch it with --yes"
    endless = f"nothing bounds what the job costs, and there is no terminal to ask in: {bounds}"
    confirm(f"Launch {job.name} on {made.record.profile}?", unasked=endless if _is_endless(job, plan) else None)


def confirm(question: str, *, unasked: str | None) -> None:
    """Ask in the terminal whether money may be spent.

    Args:
        question: of the user.
        unasked: why not to go on where there is no terminal; None to go on there.

    Raises:
        NotLaunched: the user said no, or there is no terminal and a reason not to go on without one.
    """
    if sys.stdin.isatty():
        if not click.confirm(question, err=True):
            raise NotLaunched("not launched")
    elif unasked is not None:
        raise NotLaunched(unasked)


def _is_little(found: "Estimate | None", limit: Decimal) -> bool:
    return found is not None and found.most is not None and found.most <= limit


def _is_endless(job: "TuningJob", plan: "Plan") -> bool:
    from cloudtune.planning.summary import summary  # noqa: PLC0415

    return job.limits.cost is None and summary(job, plan).machine_hours is None
