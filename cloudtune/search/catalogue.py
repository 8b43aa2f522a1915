"""Which strategy and which stopping rule a job asks for."""

from cloudtune.search.base import Strategy
from cloudtune.search.stopping import StoppingRule
from cloudtune.space.space import Space
from cloudtune.spec.job import TuningJob
from cloudtune.spec.strategies import (
    Asha,
    Auto,
    Bandit,
    Curve,
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
        UnsuitableStrategy: it cannot search this space or these objectives, or what it needs is not installed.
    """
    asked = job.strategy
    kind = asked.searcher if isinstance(asked, Hyperband) else asked.type
    about = {"objectives": len(job.objective), "seed": seed, "budget": job.limits.trials}
    if isinstance(asked, Grid):
        from cloudtune.search.grid import GridSearch  # noqa: PLC0415  # each is loaded when it is used

        return GridSearch(space, levels=asked.levels, **about)
    if isinstance(asked, Sobol):
        from cloudtune.search.sobol import SobolSearch  # noqa: PLC0415

        return SobolSearch(space, **about)
    if kind == "bayesian":
        from cloudtune.search.bayesian import BayesianSearch  # noqa: PLC0415

        return BayesianSearch(space, startup=getattr(asked, "startup", None), **about)
    if kind == "evolutionary":
        from cloudtune.search.evolutionary import evolutionary  # noqa: PLC0415

        return evolutionary(space, population=getattr(asked, "population", None), **about)
    if isinstance(asked, OptunaSampler):
        from cloudtune.search.optuna_sampler import OptunaSearch  # noqa: PLC0415

        return OptunaSearch(space, sampler=asked.sampler, options=asked.options, **about)
    if isinstance(asked, HyperoptTpe):
        from cloudtune.search.hyperopt_tpe import HyperoptSearch  # noqa: PLC0415

        return HyperoptSearch(space, startup=asked.startup, candidates=asked.candidates, gamma=asked.gamma, **about)
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
        case Curve():
            from cloudtune.search import curves  # noqa: PLC0415  # loads scipy

            return curves.Curve(asked.grace, asked.interval, asked.probability)
        case Asha():
            return rules.Asha(asked.min_resource, asked.max_resource, asked.eta)
        case Auto() | None:
            return rules.Median(grace=5, interval=1)
