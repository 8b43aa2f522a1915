"""What a job costs, said before it is launched, and asked about where it is much."""

import sys
from typing import TYPE_CHECKING

import click

from cloudtune.errors import NotLaunched

if TYPE_CHECKING:
    from pathlib import Path

    from cloudtune.costs.suggestions import Suggestions
    from cloudtune.run import Run
    from cloudtune.spec.job import TuningJob


def ask_before_spending(
    made: "Run", job: "TuningJob", *, yes: bool, quiet: bool, near: "Path | None" = None, question: str = ""
) -> None:
    """Say what a run on machines that have a price costs, and ask whether to launch it where that is more than the config's limit.

    Without a terminal nothing is asked: a job is launched if its cost, or its time on machines, has a bound.

    Args:
        made: the run, which has not started.
        job: the spec.
        yes: whether the user has agreed already.
        quiet: whether to say what it costs only where that is asked about.
        near: the folder of the config near the job; see `cloudtune.config.config_near`.
        question: what is asked; by default whether to launch the job.

    Raises:
        NotLaunched: the user said no, or there is no terminal and nothing bounds the job.
    """
    from cloudtune.config import confirm_above  # noqa: PLC0415
    from cloudtune.costs.launching import cost_line, estimate_of, is_endless, is_little, is_paid  # noqa: PLC0415

    plan, project = made.plan, made.project
    paid = is_paid(plan, made.record.emulators)
    charged = _charged(job, project, near) if job.strategy.charges else None
    if not paid and charged is None:
        return
    costs = [*([estimate_of(job, plan, project)] if paid else []), *([] if charged is None else [charged])]
    agreed = yes or is_little(costs, confirm_above(project, near))
    if not (agreed and quiet):
        click.echo(cost_line(job, plan, project, charged), err=True)
    if agreed:
        return
    bounds = "limits.cost, limits.time or limits.trial_time" if paid else "limits.trials"
    endless = (
        f"nothing bounds what the job costs, and there is no terminal to ask in: give {bounds}, or launch it with --yes"
    )
    unbounded = is_endless(job, plan) if paid else job.limits.trials is None
    confirm(question or f"Launch {job.name} on {made.record.profile}?", unasked=endless if unbounded else None)


def _charged(job: "TuningJob", project: "Path", near: "Path | None") -> "Suggestions | None":
    """Return the suggestions that a service charges for; None where emulators answer for it."""
    from cloudtune.config import price_tables  # noqa: PLC0415  # few strategies ask a service
    from cloudtune.costs.suggestions import suggestions_of  # noqa: PLC0415
    from cloudtune.remote.resolving import resolve  # noqa: PLC0415

    if all(resolve(name, project)[0].emulators() for name in job.strategy.services):
        return None
    return suggestions_of(job, price_tables(project, near))


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
