"""Find the strategy and the stopping rule that a spec asks for, among cloudtune's own and those of installed packages."""

from collections.abc import Sequence

from cloudtune.plugins.entry_points import STOPPING, STRATEGIES
from cloudtune.plugins.loading import load
from cloudtune.results.constraints import bound_count
from cloudtune.search.stopping.rule import StoppingRule
from cloudtune.search.strategy import Strategy, StrategyContext
from cloudtune.space.space import Space
from cloudtune.spec.choice import choice_for
from cloudtune.spec.job import TuningJob
from cloudtune.spec.objective import Objective
from cloudtune.spec.stopping import StoppingSpec
from cloudtune.spec.strategies import StrategySpec


def strategy_of(
    spec: StrategySpec,
    space: Space,
    *,
    objectives: int,
    seed: int,
    budget: int | None,
    constraints: int = 0,
    cost_budget: float | None = None,
) -> Strategy:
    """Return the strategy that a spec asks for.

    Args:
        spec: its type and settings.
        space: what to search.
        objectives: the number of objectives.
        seed: from 0 to 2^31 - 1; a seed in the spec is not looked at.
        budget: the number of trials that will be asked for; None where that is not known.
        constraints: the number of violations of a completed trial's observation.
        cost_budget: what all trials together may cost; None where that is not limited.

    Raises:
        UnsuitableStrategy: it cannot search this space or these objectives, or needs a package that is not installed.
    """
    suggesting = spec.suggesting
    found = load(STRATEGIES, suggesting.type, Strategy)  # type: ignore[type-abstract]
    context = StrategyContext(objectives=objectives, seed=seed, budget=budget)
    if constraints:
        context["constraints"] = constraints
    if cost_budget is not None:
        context["cost_budget"] = cost_budget
    return found.from_spec(suggesting, space, **context)


def rule_of(
    strategy: StrategySpec, stopping: StoppingSpec | None, objectives: Sequence[Objective]
) -> StoppingRule | None:
    """Return the stopping rule that is asked for, or that belongs to the strategy; None for none.

    ``auto`` is the median rule, since no service with a rule of its own runs these trials.
    """
    asked = strategy.own_stopping if stopping is None else stopping
    if asked is None:
        return None
    found = load(STOPPING, asked.type, StoppingRule)  # type: ignore[type-abstract]
    return found.from_spec(asked, objectives)


def strategy_for(job: TuningJob, space: Space, seed: int) -> Strategy:
    """Return the strategy that a job asks for, or leaves to be chosen; see `strategy_of`."""
    choice = choice_for(job)
    return strategy_of(
        job.strategy if choice is None else choice.strategy,
        space,
        objectives=len(job.objective),
        seed=seed,
        budget=job.search_trials,
        constraints=bound_count(job.constraints),
        cost_budget=job.cost_budget,
    )


def rule_for(job: TuningJob) -> StoppingRule | None:
    """Return the stopping rule that a job asks for; see `rule_of`."""
    return rule_of(job.strategy, job.stopping, job.objective)
