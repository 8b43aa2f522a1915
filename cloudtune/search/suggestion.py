"""What a search tells of its trials: those to run, and those that completed."""

import operator
from collections.abc import Mapping
from dataclasses import dataclass

from cloudtune.space.space import Values


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A trial to run.

    Attributes:
        number: from 0, in the order of the suggestions.
        parameters: its values by name, without those that do not exist under its conditions.
        origin: where it comes from: "" for the strategy, ``first`` for the search's first trials, ``tried`` for trials
            of the user's own since.
        resumed: whether it was suggested before and paused, and goes on from its checkpoint.
    """

    number: int
    parameters: Values
    origin: str = ""
    resumed: bool = False


def number_of(trial: Suggestion | int) -> int:
    """Return the number of a trial that is given as a suggestion or by its number, also one of numpy's."""
    return trial.number if isinstance(trial, Suggestion) else operator.index(trial)


@dataclass(frozen=True, slots=True)
class Result:
    """A completed trial.

    Attributes:
        number: of its suggestion.
        parameters: its values by name.
        metrics: its values of the metrics by name, finite for every objective.
        violations: by how much it violates each bound of the constraints, relative to the bound; above 0 is violated,
            infinite where it has no value. Empty without constraints.
    """

    number: int
    parameters: Values
    metrics: Mapping[str, float]
    violations: tuple[float, ...] = ()

    @property
    def feasible(self) -> bool:
        """Whether it keeps every constraint."""
        return all(violation <= 0 for violation in self.violations)
