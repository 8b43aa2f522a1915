"""The arguments of a search, validated as the fields of a job are."""

from typing import Self

from pydantic import model_validator

from cloudtune.space.parameters import Count, SpecModel
from cloudtune.spec.consistency import constraint_problems, refuse, search_problems
from cloudtune.spec.constraint import Constraints
from cloudtune.spec.fields import SpaceEntries
from cloudtune.spec.first import FirstTrials
from cloudtune.spec.objective import Objectives
from cloudtune.spec.stopping import Stopping
from cloudtune.spec.strategies import Seed, Strategy


class SearchArguments(SpecModel):
    """The arguments of a search, by which they are validated as the fields of a job are."""

    space: SpaceEntries
    objective: Objectives
    strategy: Strategy
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
