"""The arguments of a search, validated as the fields of a job are."""

from typing import Self

from pydantic import model_validator

from cloudtune.space.parameters import Count, SpecModel
from cloudtune.space.space import Space
from cloudtune.spec.choice import choice_for, choose
from cloudtune.spec.consistency import constraint_problems, refuse, search_problems
from cloudtune.spec.constraint import Constraints
from cloudtune.spec.fields import Requirements, SpaceEntries
from cloudtune.spec.first import FirstTrials
from cloudtune.spec.job import TuningJob
from cloudtune.spec.objective import Objectives
from cloudtune.spec.stopping import Stopping
from cloudtune.spec.strategies import AutoStrategy, Seed, Strategy, StrategySpec


class SearchArguments(SpecModel):
    """The arguments of a search, by which they are validated as the fields of a job are."""

    space: SpaceEntries
    objective: Objectives
    strategy: Strategy
    require: Requirements = ()
    stopping: Stopping | None = None
    seed: Seed | None = None
    trials: Count | None = None
    constraints: Constraints = ()
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
        choice = choose(asked.strategy, space, objectives=len(asked.objective), trials=trials)
    else:
        choice = None
    return asked.strategy if choice is None else choice.strategy
