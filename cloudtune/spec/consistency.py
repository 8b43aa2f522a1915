"""Check that the parts of a search agree: the space, the objectives, the strategy and the stopping rule."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn, Protocol

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from cloudtune.space.parameters import Scalar
from cloudtune.space.region import check_feasible
from cloudtune.space.space import Entries, Space, SpaceError
from cloudtune.spec.beliefs import prior_problems
from cloudtune.spec.first import first_problems
from cloudtune.spec.stopping import StoppingSpec
from cloudtune.spec.strategies import AutoStrategy, Bayesian, Grid, StrategySpec

Found = tuple[tuple[str | int, ...], str]
"""A location in the spec, and the message of a problem there."""


def nul_problems(path: tuple[str | int, ...], value: object) -> Iterator[Found]:
    """Yield the places of NUL characters, which no program can be given, in a text or a list of texts."""
    if isinstance(value, str) and "\0" in value:
        yield path, "holds a NUL character, which no program can be given; take it away"
    elif isinstance(value, tuple):
        for index, each in enumerate(value):
            yield from nul_problems((*path, index), each)


class Named(Protocol):
    """An objective, as far as it is checked here."""

    @property
    def metric(self) -> str:
        """The metric's name."""


class Bounded(Protocol):
    """A constraint, as far as it is checked here."""

    @property
    def metric(self) -> str:
        """The metric's name."""

    @property
    def regex(self) -> str | None:
        """The regex of its own."""


class ConstrainedParts(Protocol):
    """The fields of a job and of a search that name metrics."""

    @property
    def objective(self) -> Sequence[Named]: ...
    @property
    def constraints(self) -> Sequence[Bounded]: ...


class SearchParts(Protocol):
    """The fields that a job and a search have in common."""

    @property
    def space(self) -> Entries: ...
    @property
    def require(self) -> Sequence[str]: ...
    @property
    def objective(self) -> Sequence[Named]: ...
    @property
    def strategy(self) -> StrategySpec: ...
    @property
    def first(self) -> Sequence[Mapping[str, Scalar]]: ...
    @property
    def stopping(self) -> StoppingSpec | None: ...


def search_problems(parts: SearchParts) -> list[Found]:
    """Return all problems of the parts of a search, in the order of the fields."""
    return [*_space_problems(parts), *_objective_problems(parts.objective), *_stopping_problems(parts)]


def constraint_problems(parts: ConstrainedParts, metrics: Collection[str] = ()) -> list[Found]:
    """Return the problems of constraints: a metric that has two, or a second regex.

    Args:
        parts: a job or a search.
        metrics: names of the further metrics, which have a regex each.
    """
    problems: list[Found] = []
    seen: set[str] = set()
    objectives = {each.metric for each in parts.objective}
    for index, constraint in enumerate(parts.constraints):
        metric = constraint.metric
        if metric in seen:
            message = f"the metric {metric!r} has a constraint already; write max and min in one"
            problems.append((("constraints", index, "metric"), message))
        seen.add(metric)
        place = "objective" if metric in objectives else "metrics" if metric in metrics else ""
        if place and constraint.regex is not None:
            message = f"the metric {metric!r} stands under {place} already: give its regex there alone"
            problems.append((("constraints", index, "regex"), message))
    return problems


def refuse(title: str, problems: Iterable[Found]) -> NoReturn:
    """Raise problems as one error of pydantic's, each at its location.

    Raises:
        ValidationError: always.
    """
    details: list[Any] = [
        InitErrorDetails(type=PydanticCustomError("job", message_template(message)), loc=path, input=None)
        for path, message in problems
    ]
    raise ValidationError.from_exception_data(title, details)


def message_template(message: str) -> str:
    """Return a message as a template of pydantic's, with its braces escaped."""
    return message.replace("{", "{{").replace("}", "}}")


def _space_problems(parts: SearchParts) -> list[Found]:
    try:
        space = Space(parts.space, parts.require)
        if space.requirements:
            check_feasible(space)
    except SpaceError as error:
        return [((error.within, *_as_location(path)), message) for path, message in error.problems]
    problems: list[Found] = []
    if isinstance(parts.strategy, Grid) and parts.strategy.levels is None:
        message = "a grid needs a finite axis: give it a step, or set strategy.levels"
        infinite = [dimension for dimension in space.dimensions if dimension.axis.size is None]
        problems += [(("space", *_as_location(dimension.key)), message) for dimension in infinite]
    if isinstance(parts.strategy, AutoStrategy | Bayesian):
        problems += prior_problems(space, parts.strategy.prior, parts.strategy.type)
    return [*problems, *first_problems(space, parts.first)]


def _objective_problems(objectives: Sequence[Named]) -> list[Found]:
    metrics = [objective.metric for objective in objectives]
    return [
        (("objective", index, "metric"), f"the metric {metric!r} is an objective already")
        for index, metric in enumerate(metrics)
        if metric in metrics[:index]
    ]


def _stopping_problems(parts: SearchParts) -> list[Found]:
    if not parts.strategy.stops_trials or parts.stopping is None:
        return []
    return [(("stopping",), f"{parts.strategy.type} stops trials itself; take the stopping rule away")]


def _as_location(path: str) -> tuple[str | int, ...]:
    return tuple(
        int(part) if part.isdecimal() else part for part in path.replace("[", ".").replace("]", "").split(".") if part
    )
