"""Extract the mistakes of a job from pydantic's errors, without the artefacts of its unions."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

Location = tuple[str | int, ...]

_BRANCH = re.compile(
    r"(constrained-str)|(dict|tuple)\[.*|function-\w+\[.*, (constrained-str|dict|tuple|float|str)(?:\[.*)?\]+"
)
_NAMES = {"float": "number"}
_SCALAR_BRANCHES = ("bool", "int", "float", "str")
_TYPES: dict[str, type | tuple[type, ...]] = {
    "constrained-str": str,
    "dict": Mapping,
    "tuple": (list, tuple),
    "number": (int, float),
    "bool": bool,
    "int": int,
    "float": float,
    "str": str,
}
"""The types of the values of each member of a plain union."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """An error of pydantic, with its location cleared of the names that pydantic gives to a union's members.

    Attributes:
        model: which was validated.
        location: keys and indexes that lead to the value.
        error: as pydantic describes it.
        tag: the ``type`` of the part around it, if that part is one of a tagged union.
        branch: the member of a plain union that it comes from: a key of `_TYPES`.
        union: how many steps of the location lead to that union.
        branches: where no member of the union fits the value: all of them.
    """

    model: type[BaseModel]
    location: Location
    error: ErrorDetails
    tag: str | None = None
    branch: str | None = None
    union: int = 0
    branches: tuple[str, ...] = ()


def find_mistakes(error: ValidationError, model: type[BaseModel]) -> list[Mistake]:
    """Return each mistake once, in pydantic's order."""
    mistakes = [_mistake(details, model) for details in error.errors(include_url=False)]
    while any(mistake.branch for mistake in mistakes):
        mistakes = [_below_union(mistake) for mistake in _one_a_union(mistakes)]
    return [mistake for mistake in mistakes if not _follows(mistake)]


def _mistake(error: ErrorDetails, model: type[BaseModel]) -> Mistake:
    location, tag = _untagged(error["loc"])
    if _is_scalar_branch(location):
        return Mistake(model, location[:-1], error, tag, str(location[-1]), len(location) - 1)
    return _below_union(Mistake(model, location, error, tag))


def _below_union(mistake: Mistake) -> Mistake:
    """Return a mistake as one of the next plain union on the way to it; of none where there is no other."""
    location = mistake.location
    for index, part in enumerate(location[mistake.union :], mistake.union):
        if isinstance(part, str) and (found := _BRANCH.fullmatch(part)):
            name = next(filter(None, found.groups()))
            below = location[:index] + location[index + 1 :]
            return replace(mistake, location=below, branch=_NAMES.get(name, name), union=index)
    return replace(mistake, branch=None)


def _is_scalar_branch(location: Location) -> bool:
    """Return whether the last step is a member of a plain union of scalars: a value in the space, of a first trial, or of a belief."""
    if len(location) < 3 or location[-1] not in _SCALAR_BRANCHES:
        return False
    in_space = location[0] in ("space", "strategy") and len(location) > 3
    return location[0] == "first" or (
        in_space and (location[-2] in ("value", "around") or isinstance(location[-2], int))
    )


def fits(branch: str, value: object) -> bool:
    """Return whether a value is of the type of a member of a plain union."""
    return isinstance(value, _TYPES[branch]) and (branch == "bool" or not isinstance(value, bool))


def _untagged(location: Location) -> tuple[Location, str | None]:
    """Return the location without the names of tagged unions' members, and the last of those names."""
    match location:
        case ("space", name, "one", *rest):
            head: Location = ("space", name)
        case ("space", name, "variants", int(index), *rest):
            head = ("space", name, index)
        case ("space", name, "variants"):
            return ("space", name), None
        case ("strategy" | "stopping" as field, *rest) if rest:
            head = (field,)
        case ("native", provider, key, *rest):
            return ("native", provider, key, *_without_kinds(rest)), None
        case _:
            return location, None
    return (*head, *rest[1:]), str(rest[0]) if rest else None


def _without_kinds(steps: Sequence[str | int]) -> Sequence[str | int]:
    """Return the steps below JSON data without ``dict`` and ``list``, which pydantic puts before each key and index."""
    return steps[1::2]


def _follows(mistake: Mistake) -> bool:
    """Return whether a mistake follows from another one: pydantic counts only the valid items of a list."""
    error = mistake.error
    return error["type"] == "too_short" and len(error["input"]) >= error["ctx"]["min_length"]


def _one_a_union(mistakes: list[Mistake]) -> Iterator[Mistake]:
    """Keep of a plain union only the mistakes of the member that fits the value, or one mistake if none fits."""
    unions: dict[Location, list[Mistake]] = {}
    for mistake in mistakes:
        if mistake.branch:
            unions.setdefault(mistake.location[: mistake.union], []).append(mistake)
    for mistake in mistakes:
        if not mistake.branch:
            yield mistake
            continue
        members = unions[mistake.location[: mistake.union]]
        # A value is of one type at most, so at least one member refused it as a whole.
        value = next(member.error["input"] for member in members if len(member.location) == member.union)
        if fits(mistake.branch, value):
            yield mistake
        elif mistake is members[0] and not any(fits(branch, value) for branch in _branches(members)):
            yield replace(mistake, branches=_branches(members))


def _branches(members: list[Mistake]) -> tuple[str, ...]:
    return tuple(member.branch for member in members if member.branch)
