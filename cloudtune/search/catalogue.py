"""Which strategy and which stopping rule a job asks for."""

from cloudtune.job import TuningJob
from cloudtune.search.base import Strategy, UnsuitableStrategy
from cloudtune.search.stopping import StoppingRule
from cloudtune.space import Space
from cloudtune.strategies import (
    Asha,
    Auto,
    Bandit,
    Bayesian,
    Evolutionary,
    Grid,
    Hyperband,
    HyperoptTpe,
    Median,
    OptunaSampler,
    Sobol,
    Truncation,
)


def strategy_for(job: TuningJob, space: Space, seed: int) -> Strategy:
    """The strategy that a job asks for.

    Args:
        job: the spec.
        space: its space.
        seed: used where the job gives none.

    Raises:
        UnsuitableStrategy: it cannot search this space, or does not exist.
    """
    asked = job.strategy
    about = {"objectives": len(job.objective), "seed": seed, "budget": job.limits.trials}
    if isinstance(asked, Grid):
        from cloudtune.search.grid import GridSearch  # noqa: PLC0415  # each is loaded when it is used

        return GridSearch(space, levels=asked.levels, **about)
    if isinstance(asked, Sobol):
        from cloudtune.search.sobol import SobolSearch  # noqa: PLC0415

        return SobolSearch(space, **about)
    if isinstance(asked, Bayesian) or (isinstance(asked, Hyperband) and asked.searcher == "bayesian"):
        from cloudtune.search.bayesian import BayesianSearch  # noqa: PLC0415

        return BayesianSearch(space, startup=getattr(asked, "startup", None), **about)
    if isinstance(asked, OptunaSampler | HyperoptTpe):
        raise UnsuitableStrategy(f"{asked.type} is not here yet")
    if isinstance(asked, Evolutionary):
        raise UnsuitableStrategy("there is no evolutionary search yet; use random, sobol or bayesian")
    from cloudtune.search.draws import RandomSearch  # noqa: PLC0415

    return RandomSearch(space, **about)


def rule_for(job: TuningJob) -> StoppingRule | None:
    """The stopping rule that a job asks for; for ``auto`` the median rule, since here is no service with its own."""
    asked = job.stopping
    if asked is None and not isinstance(job.strategy, Hyperband):
        return None
    from cloudtune.search import rules  # noqa: PLC0415

    if isinstance(job.strategy, Hyperband):
        bracket = job.strategy
        return rules.Asha(bracket.min_resource, bracket.max_resource, bracket.eta)
    match asked:
        case Median():
            return rules.Median(asked.grace, asked.interval)
        case Bandit():
            maximize = job.objective[0].goal == "maximize"
            return rules.Bandit(
                asked.grace,
                asked.interval,
                factor=asked.slack_factor,
                amount=asked.slack_amount,
                maximize=maximize,
            )
        case Truncation():
            return rules.Truncation(asked.grace, asked.interval, asked.percentage)
        case Asha():
            return rules.Asha(asked.min_resource, asked.max_resource, asked.eta)
        case Auto() | None:
            return rules.Median(grace=5, interval=1)
