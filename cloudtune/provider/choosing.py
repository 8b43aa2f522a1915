"""Adapt a job to a provider, and choose its strategy where the job leaves that to cloudtune (``strategy: auto``)."""

from dataclasses import replace

from cloudtune.errors import UnsupportedError
from cloudtune.planning.plan import CHOSEN, Note, Plan, Support
from cloudtune.porting.adapted import Adapted
from cloudtune.provider.interface import Provider
from cloudtune.spec.choice import Choice, choice_for, for_tuner, with_strategy
from cloudtune.spec.job import TuningJob
from cloudtune.spec.strategies import Bayesian


def adapted_to(provider: Provider, job: TuningJob) -> Adapted:
    """Return a job in the words of a provider's service, with a strategy that is named.

    A service's own tuner is taken where it can do the job, as without ``auto``: with the strategy that suits the job if
    the tuner has it, else with its Bayesian search. Where it cannot, or the service would refuse the request, the
    driver is, with the strategy that suits the job.
    """
    adapted = provider.adapt(job)
    choice = choice_for(adapted.job)
    if choice is None:
        return adapted
    chosen, message = _choose(provider, adapted.job, choice)
    note = Note(CHOSEN, Support.ENCODED, f"auto: {message}")
    return replace(adapted, job=chosen, notes=(*adapted.notes, note))


def _choose(provider: Provider, job: TuningJob, choice: Choice) -> tuple[TuningJob, str]:
    """Return the job with its strategy, and what a note says about it."""
    own = with_strategy(job, choice.strategy)
    said = f"{choice.strategy.type}: {choice.reason}"
    if job.mode == "driven":
        return own, said
    by_tuner = f"by {provider.name}'s own tuner"
    asked = [(own, f"{said}; {by_tuner}")]
    if (tuner := for_tuner(job)) != own:
        asked.append((tuner, f"{Bayesian().type}, {by_tuner}"))
    refused: list[str] = []
    managed: list[tuple[TuningJob, str]] = []
    for each in asked:
        plan = provider.plan(each[0])
        if plan.mode == "managed":
            why = _refusal(plan, job)
            if why is None:
                return each
            managed.append(each)
            refused.append(why)
    if not managed:
        return own, said
    driven = own.driven()
    if job.mode == "managed" or _refusal(provider.plan(driven), job) is not None:
        return managed[0]
    return driven, f"{said}; by cloudtune's driver, since the tuner's request would be refused: {refused[0]}"


def _refusal(plan: Plan, job: TuningJob) -> str | None:
    """Return why a plan is refused; None if it is not."""
    try:
        plan.refuse(strict=job.strict)
    except UnsupportedError as error:
        return "; ".join(f"{problem.path}: {problem.message}" for problem in error.problems)
    return None
