"""What a launch may cost: whether a plan's machines are paid for, and the estimate by the project's earlier runs."""

from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudtune.planning.plan import Plan
from cloudtune.plugins.entry_points import pools, rents_machines
from cloudtune.spec.job import TuningJob
from cloudtune.store.store import Store

if TYPE_CHECKING:
    from cloudtune.costs.estimate import Estimate
    from cloudtune.costs.suggestions import Suggestions


def estimate_of(job: TuningJob, plan: Plan, project: Path) -> "Estimate | None":
    """Return what a job costs by its plan and the project's earlier runs; None where no price is known."""
    from cloudtune.costs.estimate import estimate  # noqa: PLC0415  # most runs cost nothing
    from cloudtune.costs.history import earlier_durations  # noqa: PLC0415
    from cloudtune.planning.summary import summary  # noqa: PLC0415

    if not plan.rates:
        return None
    took, whose = earlier_durations(Store(project), job, plan)
    return estimate(job, plan, summary(job, plan), took, whose)


def cost_line(job: TuningJob, plan: Plan, project: Path, charged: "Suggestions | None" = None) -> str:
    """Return the line that says what a job costs; "" on machines that no list has.

    Args:
        job: the spec.
        plan: of the job.
        project: whose earlier runs count.
        charged: the suggestions that a service charges for; None for none.
    """
    found = estimate_of(job, plan, project)
    machines = "" if found is None else str(found)
    if found is None and is_paid(plan) and plan.machines is not None:
        machines = f"{plan.machines.kind} at a price that is not known"
    return "; ".join(filter(None, (machines, "" if charged is None else str(charged))))


def is_paid(plan: Plan, emulated: Collection[str] = ()) -> bool:
    """Return whether trials run on machines that a service rents out, or may, or that have a price of the user's own.

    Args:
        plan: of the job; that of several profiles has the plan of each in its request.
        emulated: the provider, or those of several profiles, for which an emulator answers.
    """
    whose: Mapping[str, Any] = {plan.provider: {"provider": plan.provider, "rates": plan.rates}}
    if plan.provider in pools():
        whose = plan.request
    real = [part for name, part in whose.items() if name not in emulated]
    return any(rents_machines(part["provider"]) or part.get("rates") for part in real)


def is_little(costs: Iterable["Estimate | Suggestions | None"], limit: Decimal) -> bool:
    """Return whether all costs have a bound, and these together are at most a limit, in the currency of their prices."""
    bounds = [None if found is None else found.most for found in costs]
    known = [bound for bound in bounds if bound is not None]
    return len(known) == len(bounds) and sum(known) <= limit


def is_endless(job: TuningJob, plan: Plan) -> bool:
    """Return whether neither a budget nor the time on machines bounds what a job costs."""
    from cloudtune.planning.summary import summary  # noqa: PLC0415

    return job.limits.cost is None and summary(job, plan).machine_hours is None
