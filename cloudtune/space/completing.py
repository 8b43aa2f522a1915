"""Complete a trial of which some values are given, and say why no trial has the values that are given."""

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence

from cloudtune.space.parameters import Scalar, scalar_key
from cloudtune.space.region import region_beside
from cloudtune.space.space import Dimension, Space, SpaceError, Values

Candidates = Callable[[Dimension], Iterator[Scalar]]
"""The values that a parameter may have, the preferred one first."""


def on_axis(dimension: Dimension, value: Scalar) -> tuple[Scalar] | None:
    """Return the value as a dimension's axis has it, in a tuple since it may be None; None where it has none."""
    try:
        return (dimension.axis.at(dimension.axis.position(value)),)
    except (ValueError, TypeError, OverflowError):
        return None


def complete(
    space: Space,
    given: Mapping[str, Scalar],
    positions: Sequence[float] | None = None,
    preferred: Mapping[str, Scalar] | None = None,
) -> Values | None:
    """Return a trial with given values; None where the space has no such trial.

    A parameter that is not given has its preferred value, or else the one at its position, unless a parameter that is
    given exists only under another value of it.

    Args:
        space: that the trial belongs to.
        given: values by name.
        positions: one in [0, 1] for each dimension of the space; None for the middle of each.
        preferred: values by name, for those that are not given.
    """
    liked = preferred or {}
    where = dict(zip((each.key for each in space.dimensions), positions or (), strict=False))

    def free(dimension: Dimension) -> Scalar:
        found = on_axis(dimension, liked[dimension.name]) if dimension.name in liked else None
        return dimension.axis.at(where.get(dimension.key, 0.5)) if found is None else found[0]

    def candidates(dimension: Dimension) -> Iterator[Scalar]:
        if dimension.name in given:
            yield from on_axis(dimension, given[dimension.name]) or ()
            return
        yield free(dimension)
        for value in _conditions_on(space, dimension.name):
            yield from on_axis(dimension, value) or ()

    concerned = _with_parents(space, given)
    chosen = _choose([each for each in space.dimensions if each.name in concerned], given, candidates, {})
    if chosen is None or not given.keys() <= chosen.keys():
        return None
    values: Values = {}
    for dimension in space.dimensions:
        if dimension.active(values):
            values[dimension.name] = chosen[dimension.name] if dimension.name in chosen else free(dimension)
    found = {name: values[name] for name in space.names if name in values}
    return found if space.allows(found) else _moved(space, found, chosen, positions)


def _moved(space: Space, values: Values, kept: Values, positions: Sequence[float] | None) -> Values | None:
    """Return the trial nearest to one that misses the requirements of a space; None where there is none.

    Args:
        space: that the trial belongs to.
        values: of the trial.
        kept: those that must not change.
        positions: from which randomness comes.
    """
    try:
        region = region_beside(space, kept)
    except SpaceError:
        return None
    return region.towards(values, random.Random(repr(positions)))  # noqa: S311  # not for secrets


def why_impossible(space: Space, given: Mapping[str, Scalar]) -> list[tuple[str, str]]:
    """Return why no trial of the space has the given values: pairs of a name and a message; [] where one has."""
    problems = [found for name, value in given.items() if (found := _misfit(space, name, value)) is not None]
    if problems:
        return problems
    kept: dict[str, Scalar] = {}
    for name, value in given.items():
        message = _clash(space, kept, name, value)
        if message is None:
            kept[name] = value
        else:
            problems.append((name, message))
    return problems


def _clash(space: Space, kept: Mapping[str, Scalar], name: str, value: Scalar) -> str | None:
    """Return why no trial has a value beside others; None where one has."""
    given = {**kept, name: value}
    if complete(space, given) is not None:
        return None
    anyhow = complete(space.requiring(()), given)
    broken = None if anyhow is None else space.broken(anyhow)
    if broken is not None:
        beside = " and ".join(f"{other} is {_shown(each)}" for other, each in given.items())
        return f"no trial in which {beside} meets {broken.text!r}"
    others = " and ".join(f"{other} is {_shown(kept[other])}" for other in kept)
    return f"{_shown(value)} is in no trial in which {others}{_existence(space, name)}"


def _misfit(space: Space, name: str, value: Scalar) -> tuple[str, str] | None:
    """Return the name and why no trial has this value of it; None if one may have."""
    own = [each for each in space.dimensions if each.name == name]
    if not own:
        from cloudtune.errors import suggest  # noqa: PLC0415  # only after a mistake

        return name, f"the space has no parameter {name!r}; {suggest(name, space.names)}"
    why = []
    for dimension in own:
        try:
            dimension.axis.position(value)
        except (ValueError, TypeError, OverflowError) as error:
            why.append(str(error))
        else:
            return None
    return name, "; ".join(dict.fromkeys(why))


def _existence(space: Space, name: str) -> str:
    """Return the end of a message that says under which conditions a parameter exists; "" where it always does."""
    ways = [
        " and ".join(f"{parent} is {' or '.join(map(_shown, values))}" for parent, values in conditions.items())
        for each in space.dimensions
        if each.name == name and (conditions := each.parameter.when)
    ]
    return f"; {name} exists where {', or where '.join(ways)}" if ways else ""


def _shown(value: Scalar) -> str:
    """Return a value as YAML writes it."""
    return value if isinstance(value, str) else json.dumps(value)


def _with_parents(space: Space, names: Mapping[str, object]) -> set[str]:
    """Return names, and those of the parameters on which their existence depends."""
    found = set(names)
    for dimension in reversed(space.dimensions):  # children before parents
        if dimension.name in found:
            found.update(dimension.parameter.when or {})
    return found


def _conditions_on(space: Space, name: str) -> Iterator[Scalar]:
    """Yield each value of a parameter on which the existence of another depends, once."""
    values = [value for each in space.dimensions for value in (each.parameter.when or {}).get(name, ())]
    yield from {scalar_key(value): value for value in values}.values()


def _choose(
    dimensions: Sequence[Dimension], given: Mapping[str, Scalar], candidates: Candidates, values: Values
) -> Values | None:
    """Return values under which all given parameters exist, the first candidates that do; None for none."""
    if not dimensions:
        return values
    first, rest = dimensions[0], dimensions[1:]
    if not first.active(values):
        lost = first.name in given and first.name not in values and all(each.name != first.name for each in rest)
        return None if lost else _choose(rest, given, candidates, values)
    for value in candidates(first):
        found = _choose(rest, given, candidates, {**values, first.name: value})
        if found is not None:
            return found
    return None
