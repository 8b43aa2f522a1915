"""The space: the dimensions of a job, parents before children, and the conditions between them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloudtune.space.axes import Axis, axis_of
from cloudtune.space.parameters import (
    Categorical,
    Constant,
    Int,
    Ordinal,
    Parameter,
    Scalar,
    same_scalar,
    scalar_key,
)

if TYPE_CHECKING:
    from cloudtune.space.requirements import Requirement

Values = dict[str, Scalar]
"""The parameters of one trial: a value for each name that exists in it."""

Entries = Mapping[str, Parameter | tuple[Parameter, ...]]


def with_parameters(
    entries: Entries, change: Callable[[Parameter], Parameter]
) -> dict[str, Parameter | tuple[Parameter, ...]]:
    """Return entries in which each parameter, and each variant of one, is what a function makes of it."""
    return {
        name: tuple(map(change, entry)) if isinstance(entry, tuple) else change(entry)
        for name, entry in entries.items()
    }


@dataclass(frozen=True, slots=True)
class Dimension:
    """One parameter, or one variant of it, as a dimension of the search.

    Attributes:
        key: unique in the space: the name, or ``name[i]`` for the i-th variant (with ' appended where that is taken).
        name: the parameter's name in a trial.
        parameter: the parameter of the spec.
        axis: its values on the unit interval.
    """

    key: str
    name: str
    parameter: Parameter
    axis: Axis

    def active(self, values: Mapping[str, Scalar]) -> bool:
        """Return whether the parameter exists in a trial whose parents (decided before it) have these values."""
        conditions = self.parameter.when
        return not conditions or all(
            parent in values and any(same_scalar(values[parent], allowed) for allowed in alloweds)
            for parent, alloweds in conditions.items()
        )


class Space:
    """The dimensions of a job, parents before children, and the requirements that its trials meet.

    Args:
        entries: parameters, or tuples of variants, by name.
        require: conditions that every trial meets, such as ``batch * width <= 4096``; see `Requirement`.

    Attributes:
        dimensions: parents before children.
        names: of the parameters, in the spec's order.
        conditional: whether a parameter has a condition.
        requirements: that every trial meets.

    Raises:
        SpaceError: conditions name no parent, a value that the parent cannot take, or each other in a circle;
            two variants of a name could exist in one trial; or a requirement cannot be read, or does not suit
            the parameters. That some trial meets them all is not checked here, see `cloudtune.space.region`.
    """

    def __init__(self, entries: Entries, require: Iterable[str] = ()) -> None:
        variants = {name: entry if isinstance(entry, tuple) else (entry,) for name, entry in entries.items()}
        problems = [*_condition_problems(variants), *_variant_problems(variants)]
        order = _parents_first(variants) if not problems else []
        if not problems and order is None:
            problems.append(("", "the conditions form a circle: a parameter waits for itself"))
        dimensions: list[Dimension] = []
        for name in order or []:
            for index, parameter in enumerate(variants[name]):
                key = f"{name}[{index}]" if len(variants[name]) > 1 else name
                while any(key == dimension.key for dimension in dimensions) or (key != name and key in variants):
                    key += "'"  # a parameter of the spec is named as the variant of another
                try:
                    dimensions.append(Dimension(key, name, parameter, axis_of(parameter)))
                except ValueError as error:
                    problems.append((_path(name, index, variants[name]), str(error)))
        if problems:
            raise SpaceError(problems)
        self._entries = entries
        self.requirements = _requirements(variants, require)
        self.dimensions = tuple(dimensions)
        self.names = tuple(variants)
        self.conditional = any(dimension.parameter.when for dimension in self.dimensions)

    @property
    def size(self) -> int | None:
        """Upper bound on the number of different trials; None where a dimension is continuous.

        Requirements are not considered; see `cloudtune.space.combinations`.
        """
        size = 1
        for dimension in self.dimensions:
            if dimension.axis.size is None:
                return None
            size *= dimension.axis.size + bool(dimension.parameter.when)
        return size

    def at(self, positions: Iterable[float]) -> Values:
        """Return the trial at a point of the unit cube, one position a dimension; inactive dimensions are left out."""
        values: Values = {}
        for dimension, position in zip(self.dimensions, positions, strict=True):
            if dimension.active(values):
                values[dimension.name] = dimension.axis.at(position)
        return values

    def active(self, values: Mapping[str, Scalar]) -> tuple[Dimension, ...]:
        """Return the dimensions that exist in a trial of these values."""
        return tuple(dimension for dimension in self.dimensions if dimension.active(values))

    def positions(self, values: Mapping[str, Scalar]) -> list[float | None]:
        """Return a trial's position in each dimension; None where the dimension does not exist in it.

        Raises:
            ValueError: a value is missing, or its axis has no such value.
        """
        points: list[float | None] = []
        for dimension in self.dimensions:
            if not dimension.active(values):
                points.append(None)
            elif dimension.name not in values:
                raise ValueError(f"no value for {dimension.name!r}")
            else:
                points.append(dimension.axis.position(values[dimension.name]))
        return points

    def contains(self, values: Mapping[str, Scalar]) -> bool:
        """Return whether these are exactly the values of a possible trial, which meets the requirements."""
        try:
            self.positions(values)
        except ValueError:
            return False
        return set(values) == {dimension.name for dimension in self.active(values)} and self.allows(values)

    def requiring(self, require: Iterable[str]) -> "Space":
        """Return the space with other requirements.

        Raises:
            SpaceError: see `Space`.
        """
        return Space(self._entries, require)

    def allows(self, values: Mapping[str, Scalar]) -> bool:
        """Return whether a trial of the space meets every requirement; that its values are of the space is not checked."""
        return self.broken(values) is None

    def broken(self, values: Mapping[str, Scalar]) -> "Requirement | None":
        """Return the first requirement that a trial does not meet; None where it meets them all."""
        return next((each for each in self.requirements if not each.holds(values)), None)

    def key(self, values: Mapping[str, Scalar]) -> tuple[object, ...]:
        """Return a hashable identity of a trial's values."""
        return tuple((name, scalar_key(values[name])) for name in self.names if name in values)


class SpaceError(ValueError):
    """The conditions or the requirements of a space are wrong.

    Args:
        problems: pairs of a path and a message.
        within: what the paths are within: ``space``, or ``require``, where they are the index of a requirement, or ""
            for all of them.

    Attributes:
        problems: see above.
        within: see above.
    """

    def __init__(self, problems: list[tuple[str, str]], within: str = "space") -> None:
        self.problems, self.within = problems, within
        super().__init__("; ".join(f"{path}: {message}" if path else message for path, message in problems))


Variants = Mapping[str, tuple[Parameter, ...]]

MOST_REQUIREMENTS = 100


def _requirements(variants: Variants, require: Iterable[str]) -> "tuple[Requirement, ...]":
    require = tuple(require)
    if not require:
        return ()
    from cloudtune.space.requirements import Requirement, RequirementError  # noqa: PLC0415  # few spaces have any

    found: list[Requirement] = []
    problems: list[tuple[str, str]] = []
    for index, text in enumerate(require):
        try:
            found.append(Requirement.of(text, variants))
        except RequirementError as error:
            problems.append((str(index), str(error)))
        if index == MOST_REQUIREMENTS:
            problems.append((str(index), f"a space has {MOST_REQUIREMENTS} requirements at most; join some by and"))
            break
    if problems:
        raise SpaceError(problems, within="require")
    return tuple(found)


def _path(name: str, index: int, variants: tuple[Parameter, ...], *rest: str) -> str:
    return ".".join([name, *([str(index)] if len(variants) > 1 else []), *rest])


def _condition_problems(space: Variants) -> list[tuple[str, str]]:
    problems: list[tuple[str, str]] = []
    for name, variants in space.items():
        for index, parameter in enumerate(variants):
            for parent, alloweds in (parameter.when or {}).items():
                path = _path(name, index, variants, "when", parent)
                if parent not in space:
                    problems.append((path, f"the space has no parameter {parent!r}"))
                    continue
                problems += [
                    (path, f"{parent!r} never takes the value {allowed!r}")
                    for allowed in alloweds
                    if not any(_can_take(variant, allowed) for variant in space[parent])
                ]
    return problems


def _can_take(parent: Parameter, value: Scalar) -> bool:
    match parent:
        case Categorical() | Ordinal():
            return any(same_scalar(known, value) for known in parent.values)
        case Constant():
            return same_scalar(parent.value, value)
        case Int():
            in_range = (
                isinstance(value, int | float) and not isinstance(value, bool) and parent.low <= value <= parent.high
            )
            return in_range and (value - parent.low) % parent.step == 0  # type: ignore[operator]
        case _:
            return False


def _variant_problems(space: Variants) -> list[tuple[str, str]]:
    return [
        (
            _path(name, second, variants, "when"),
            f"variants {first} and {second} of {name!r} could exist in one trial; give them a condition on the same parent with different values",
        )
        for name, variants in space.items()
        for second in range(len(variants))
        for first in range(second)
        if not _exclude_each_other(variants[first], variants[second])
    ]


def _exclude_each_other(first: Parameter, second: Parameter) -> bool:
    ours, theirs = first.when or {}, second.when or {}
    return any(
        not any(same_scalar(one, other) for one in ours[parent] for other in theirs[parent])
        for parent in ours.keys() & theirs.keys()
    )


def _parents_first(space: Variants) -> list[str] | None:
    """Return the names with parents first, otherwise in the spec's order; None if the conditions form a circle."""
    parents = {
        name: {parent for variant in variants for parent in variant.when or {}} for name, variants in space.items()
    }
    order: list[str] = []
    while len(order) < len(space):
        ready = [name for name in space if name not in order and parents[name] <= set(order)]
        if not ready:
            return None
        order.append(ready[0])
    return order
