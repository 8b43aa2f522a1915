"""The arguments of a search, validated as the fields of a job are."""

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from cloudtune.errors import Problem, SpecError
from cloudtune.results.constraints import bound_count
from cloudtune.search.background import BackgroundStrategy
from cloudtune.search.registry import rule_of, strategy_of
from cloudtune.search.stopping.rule import StoppingRule
from cloudtune.search.strategy import Strategy, UnsuitableStrategy
from cloudtune.space.parameters import Count, SpecModel, no_text
from cloudtune.space.space import Space
from cloudtune.spec.choice import choice_for, choose
from cloudtune.spec.consistency import constraint_problems, refuse, search_problems
from cloudtune.spec.constraint import Constraints
from cloudtune.spec.fields import Requirements, SpaceEntries
from cloudtune.spec.first import FirstTrials
from cloudtune.spec.job import TuningJob
from cloudtune.spec.objective import Objectives
from cloudtune.spec.stopping import Stopping
from cloudtune.spec.strategies import AutoStrategy, Seed, StrategySpec
from cloudtune.spec.strategies import Strategy as StrategyField


class SearchArguments(SpecModel):
    """The arguments of a search, by which they are validated as the fields of a job are."""

    space: SpaceEntries
    objective: Objectives
    strategy: StrategyField
    require: Requirements = ()
    stopping: Stopping | None = None
    seed: Seed | None = None
    trials: Count | None = None
    constraints: Constraints = ()
    cost_budget: Annotated[float, BeforeValidator(no_text), Field(gt=0)] | None = None
    first: FirstTrials = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if problems := [*search_problems(self), *constraint_problems(self)]:
            refuse(type(self).__name__, problems)
        return self


def named_strategy(asked: TuningJob | SearchArguments, space: Space, trials: int | None) -> StrategySpec:
    """Return the strategy that is asked for, or chosen where none is."""
    if isinstance(asked, TuningJob):
        choice = choice_for(asked)
    elif isinstance(asked.strategy, AutoStrategy):
        budgeted = asked.cost_budget is not None
        choice = choose(asked.strategy, space, trials=trials, budgeted=budgeted)
    else:
        choice = None
    return asked.strategy if choice is None else choice.strategy


def searcher(
    asked: TuningJob | SearchArguments, space: Space, trials: int | None, seed: int, *, background: bool
) -> tuple[Strategy, StoppingRule | None]:
    """Return the strategy and the stopping rule of a search; see `strategy_of` and `rule_of`.

    Args:
        asked: the spec.
        space: of the spec.
        trials: how many the search suggests; None for no end.
        seed: of the suggestions.
        background: whether a strategy that takes its time works in a thread; see `Strategy.in_background`.

    Raises:
        SpecError: the strategy cannot search this space.
    """
    spec = named_strategy(asked, space, trials)
    rule = rule_of(spec, asked.stopping, asked.objective)
    try:
        strategy = strategy_of(
            spec,
            space,
            objectives=len(asked.objective),
            seed=seed,
            budget=trials,
            constraints=bound_count(asked.constraints),
            cost_budget=asked.cost_budget,
        )
    except UnsuitableStrategy as error:
        raise SpecError([Problem("strategy", str(error))], "Search") from error
    if background and strategy.in_background:
        strategy = BackgroundStrategy(strategy)
    return strategy, strategy.rule or rule
