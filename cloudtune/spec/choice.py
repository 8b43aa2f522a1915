"""Choose the strategy of a job that leaves it to cloudtune (``strategy: auto``)."""

from dataclasses import dataclass

from cloudtune.space.combinations import count_of
from cloudtune.space.space import Space
from cloudtune.spec.job import Limits, TuningJob
from cloudtune.spec.strategies import AutoStrategy, Bayesian, Grid, StrategySpec

FEW_TRIALS = 3
"""Trials up to which there is no model to learn from: `cloudtune.search.surrogate.LEAST`."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A strategy, and why it was chosen.

    Attributes:
        strategy: of any type but ``auto``.
        reason: for people, in one line.
    """

    strategy: StrategySpec
    reason: str


def choose(
    auto: AutoStrategy,
    space: Space,
    *,
    trials: int | None = None,
    parallel: int = 1,
    ends_early: bool = False,
    known: bool = False,
    budgeted: bool = False,
) -> Choice:
    """Return the strategy that suits a search. Pure: the same arguments give the same choice.

    No choice stops trials early: whether their first steps tell of their end is not known of a program that has not
    run yet, so that only the user can say it (``stopping``).

    Args:
        auto: the spec, whose seed the choice takes over.
        space: what is searched.
        trials: the number of trials; None where that is not known.
        parallel: trials that run at the same time.
        ends_early: whether the search may end before all trials were run: by a target, a time or a cost.
        known: whether there are trials to learn from before the first one.
        budgeted: whether a time or a cost may end the search.
    """
    size, seed = count_of(space) if space.requirements else space.size, auto.seed
    allowed = "allowed " if space.requirements else ""
    if trials is not None and size is not None and size <= trials and not ends_early and auto.prior is None:
        return Choice(Grid(), f"all {size} {allowed}combinations of the space fit into {trials} trials")
    if trials is not None and not known and trials <= max(FEW_TRIALS, parallel):
        blind = "too few to learn from" if trials <= FEW_TRIALS else "all at once, so that none can learn"
        return Choice(
            Bayesian(seed=seed, startup=trials, prior=auto.prior),
            f"{trials} trials are {blind}: they are spread evenly",
        )
    learnt = "each trial is chosen by what the ended ones say"
    thrifty = f"{learnt}; cheap ones first, where the budget does not suffice for all"
    return Choice(Bayesian(seed=seed, prior=auto.prior, cost_aware=budgeted), thrifty if budgeted else learnt)


def choice_for(job: TuningJob) -> Choice | None:
    """Return the choice for cloudtune's own driver; None where the job names a strategy."""
    if not isinstance(job.strategy, AutoStrategy):
        return None
    return choose(
        job.strategy,
        job.search_space(),
        trials=job.limits.trials,
        parallel=job.limits.parallel,
        ends_early=_ends_early(job.limits),
        known=job.warm_start is not None,
        budgeted=job.limits.time is not None or job.limits.cost is not None,
    )


def _ends_early(limits: Limits) -> bool:
    return any(each is not None for each in (limits.target, limits.no_improvement, limits.time, limits.cost))


def with_strategy(job: TuningJob, strategy: StrategySpec) -> TuningJob:
    """Return a job with another strategy."""
    return job.model_copy(update={"strategy": strategy})


def for_tuner(job: TuningJob) -> TuningJob:
    """Return a job as a service's own tuner takes it: ``auto`` is its Bayesian search."""
    auto = job.strategy
    return with_strategy(job, Bayesian(seed=auto.seed, prior=auto.prior)) if isinstance(auto, AutoStrategy) else job
