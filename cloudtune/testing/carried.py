"""Check that what a plan claims to carry exactly is where the plan says, and depends on the job.

Each leaf of a spec is checked twice: its value has to be at the place in the request that the plan names, and another
value has to give another request there. A provider that names a wrong place, a constant, or no place, fails a check.
"""

import contextlib
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError

from cloudtune.planning.plan import Beside, Plan, Support, covers
from cloudtune.space.parameters import Categorical, Constant, Int, LogNormal, Normal
from cloudtune.spec.job import TuningJob
from cloudtune.spec.native import FIELD, native_path
from cloudtune.spec.stopping import Auto, Median
from cloudtune.spec.strategies import Bayesian, Random
from cloudtune.spec.units import format_duration, format_size

Key = str | int

_DRIVER_FIELDS = (
    "name",
    "objective",
    "constraints",
    "metrics",
    "space",
    "require",
    "strategy",
    "first",
    "stopping",
    "limits",
    "retries",
    "warm_start",
    "confirm",
    "mode",
)
_PLAN_FIELDS = ("strict", "mode")
_CODE_FIELDS = ("trial.source", "trial.ignore", "trial.command", "trial.function", "metrics", "objective")
_DERIVED = re.compile(
    r"((objective|constraints)\[\d+\]\.regex|metrics\..*|space\..*\.step|compute\.accelerators\.type)"
)
"""Leaves that the service gets in a form of its own, such as a pattern in its dialect."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf of a spec.

    Attributes:
        path: as in plans.
        keys: the keys and indexes that lead to it.
        value: its value.
        neutral: whether that is the default.
        literal: the only values that are allowed.
        alike: another value with the same meaning, such as the last step below an upper bound.
    """

    path: str
    keys: tuple[Key, ...]
    value: Any
    neutral: bool = False
    literal: tuple[Any, ...] = ()
    alike: Any = None


def unfounded(plan_of: Callable[[TuningJob], Plan], job: TuningJob) -> list[str]:
    """Return what is wrong with the claims of a plan, a line each; nothing for a true one.

    Args:
        plan_of: the provider's translation, which must be pure.
        job: the spec.
    """
    plan, problems = plan_of(job), []
    for leaf in _leaves(job):
        if plan.support(leaf.path) not in (Support.EXACT, Support.UNCHECKED):
            continue
        target = _place(plan, leaf.path)
        if target is None:  # only a note accounts for it
            continue
        wrong = _wrong(plan, leaf, target) or _unmoved(plan_of, plan, job, leaf, target)
        if wrong:
            problems.append(f"{leaf.path} = {leaf.value!r} is said to be carried to {target!r}, but {wrong}")
    return problems


def _place(plan: Plan, path: str) -> str | None:
    """Return the target of a leaf, from the longest path that covers it; None if it is not carried."""
    found = [(len(carried), target) for carried, target in plan.carried.items() if covers(carried, path)]
    return max(found)[1] if found else None


# Is the value there?


def _wrong(plan: Plan, leaf: Leaf, target: str) -> str:
    if target in tuple(Beside):
        return _wrong_beside(plan, leaf, Beside(target))
    if not target.strip("."):
        return "that is no place in the request; name one, or a word of cloudtune.planning.plan.Beside"
    found = list(_at(plan.request, target))
    if not found:
        return "" if leaf.neutral else "there is nothing in the request"
    if leaf.neutral or leaf.literal or isinstance(leaf.value, bool) or _DERIVED.fullmatch(leaf.path):
        return ""
    return "" if any(_holds(part, leaf) for part in found) else "what is there in the request is another value"


def _wrong_beside(plan: Plan, leaf: Leaf, word: Beside) -> str:
    if word is Beside.DEFAULT:
        return "" if leaf.neutral or not leaf.value else "it is not what is so anyway"
    if word is Beside.PLAN:
        return "" if leaf.path in _PLAN_FIELDS else "it is nothing that only planning heeds"
    if word is Beside.FOLLOWER:
        return "" if leaf.path.startswith("notify") else "what follows a run does nothing by it"
    if word is Beside.DRIVER:
        if plan.mode != "driven":
            return "nothing drives a managed run"
        return "" if any(covers(path, leaf.path) for path in _DRIVER_FIELDS) else "no driver heeds it"
    if not any(covers(path, leaf.path) for path in _CODE_FIELDS):
        return "no code says it"
    return "" if "${code}" in json.dumps(plan.request) else "the request names no code (${code})"


def _at(request: Any, target: str) -> Iterator[Any]:
    """Yield what a dotted path leads to; keys may contain dots and brackets themselves."""
    if target == "":
        yield request
    elif isinstance(request, Mapping):
        for key, value in request.items():
            if target == key or target.startswith((f"{key}.", f"{key}[")):
                yield from _at(value, target[len(key) :].removeprefix("."))
    elif isinstance(request, list) and target.startswith("["):
        index, _, rest = target[1:].partition("]")
        if index.isdecimal() and int(index) < len(request):
            yield from _at(request[int(index)], rest.removeprefix("."))


def _holds(part: Any, leaf: Leaf) -> bool:
    """Return whether a part of the request has a leaf's value, in a spelling of the service."""
    said = list(_scalars(part))
    if leaf.keys[:2] == ("trial", "environment"):  # plans leave out the values of the environment
        return leaf.keys[2] in said
    if leaf.keys[0] == "data" and any(f"${{data:{leaf.keys[1]}}}" in str(each) for each in said):
        return True  # uploaded data gets its address when the run starts
    if leaf.alike is not None and _is_said(leaf.alike, said, leaf):
        return True
    return all(_is_said(value, said, leaf) for value in _scalars(leaf.value))


def _is_said(value: Any, said: list[Any], leaf: Leaf) -> bool:
    if value is None or value == "":
        return True
    if isinstance(value, bool):
        return any(str(each).lower() == str(value).lower() for each in said)
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
        return any(each == format_duration(value) or _is_number(each, seconds) for each in said)
    if isinstance(value, int | float):
        sizes = [math.ceil(value / 10**9), format_size(int(value))] if leaf.path in _SIZES else []
        return any(_is_number(each, value) or each in sizes for each in said)
    plain = _plain(str(value))
    return any(plain in _plain(str(each)) for each in said) or any(
        json.dumps(value)[1:-1] in str(each) for each in said
    )


_SIZES = ("compute.disk", "compute.memory")


def _is_number(text: Any, value: float) -> bool:
    """Return whether a number, a text that is one, or a word of a command, equals a value."""
    if isinstance(text, bool):
        return False
    for word in re.split(r"[\s='\"]+", str(text)):
        with contextlib.suppress(ValueError):
            if math.isclose(float(word.removesuffix("s")), value, rel_tol=1e-9):
                return True
    return False


def _plain(text: str) -> str:
    return re.sub(r"[-_ ]", "", text.casefold())


def _scalars(part: Any) -> Iterator[Any]:
    if isinstance(part, Mapping):
        for key, value in part.items():
            yield key
            yield from _scalars(value)
    elif isinstance(part, list | tuple):
        for value in part:
            yield from _scalars(value)
    else:
        yield part


# Does the request depend on the value?


def _unmoved(plan_of: Callable[[TuningJob], Plan], plan: Plan, job: TuningJob, leaf: Leaf, target: str) -> str:
    """Return what is wrong if all other values give the same request; "" where there is no other value to try."""
    if target in tuple(Beside) or leaf.keys[:2] == ("trial", "environment"):
        return ""
    before, tried = list(_at(plan.request, target)), False
    if leaf.keys[0] == "data" and any(f"${{data:{leaf.keys[1]}}}" in str(each) for each in before):
        return ""  # uploaded data gets its address when the run starts
    for other in _others(job, leaf):
        after, tried = plan_of(other), True
        if after.support(leaf.path) not in (Support.EXACT, Support.UNCHECKED) or _place(after, leaf.path) != target:
            return ""  # the plan says that the other value has another target, or is not carried exactly
        if list(_at(after.request, target)) != before:
            return ""
    return "other values give the same request there" if tried else ""


def _others(job: TuningJob, leaf: Leaf) -> Iterator[TuningJob]:
    """Yield the job with other values at a leaf."""
    if leaf.keys[-1] == "type" and leaf.keys[0] in ("strategy", "stopping", "space"):
        yield from _of_other_kinds(job, leaf)
        return
    for value in leaf.literal or _near(leaf.value):
        if value != leaf.value:
            try:
                yield _replaced(job, leaf.keys, value)
            except (ValidationError, ValueError, TypeError):
                continue


def _of_other_kinds(job: TuningJob, leaf: Leaf) -> Iterator[TuningJob]:
    kinds: dict[str, tuple[Any, ...]] = {
        "strategy": (Random(), Bayesian()),
        "stopping": (Median(), Auto()),
        "space": (Constant(value=1), Categorical(values=("a", "b")), Int(low=1, high=9)),
    }
    for other in kinds[str(leaf.keys[0])]:
        if other.type != leaf.value:
            try:
                yield _replaced(job, leaf.keys[:-1], other)
            except (ValidationError, ValueError, TypeError):
                continue


def _near(value: Any) -> tuple[Any, ...]:
    match value:
        case bool():
            return (not value,)
        case int():
            return value + 1, value - 1, value * 2
        case float():
            return value + abs(value) / 64 + 1e-6, value - abs(value) / 64 - 1e-6
        case timedelta():
            return value * 2, value / 2
        case str():
            return f"{value}x", f"x{value}", f"{value}1"
        case tuple() | list() if value:
            return type(value)([*value, *_near(value[-1])[:1]]), type(value)([*value[:-1], *_near(value[-1])[:1]])
        case _:
            return ()


def _replaced(part: Any, keys: tuple[Key, ...], value: Any) -> Any:
    """Return a part of a spec with another value at a leaf below it."""
    if not keys:
        return value
    key, *rest = keys
    if isinstance(part, BaseModel):
        said = {
            name: getattr(part, name) for name in (*part.model_fields_set, *({"type"} & type(part).model_fields.keys()))
        }
        return type(part).model_validate({**said, str(key): _replaced(getattr(part, str(key)), tuple(rest), value)})
    if isinstance(part, Mapping):
        return {**part, key: _replaced(part[key], tuple(rest), value)}
    items = list(part)
    items[int(key)] = _replaced(items[int(key)], tuple(rest), value)
    return type(part)(items)


# The leaves, with the keys that lead to them (see `cloudtune.planning.plan.leaves`)


def _leaves(part: Any, path: str = "", keys: tuple[Key, ...] = ()) -> Iterator[Leaf]:
    for key, value, neutral, literal in _parts(part):
        alike = _last_step(part) if key == "high" else None
        below = f"{path}[{key}]" if isinstance(key, int) else f"{path}.{key}" if path else key
        if keys == (FIELD,):
            below = native_path(TuningJob, str(key))
        if isinstance(value, BaseModel | Mapping) or (isinstance(value, tuple | list) and not _is_list(value)):
            yield from _leaves(value, below, (*keys, key))
        elif value is not None and not (isinstance(value, tuple | list) and not value):
            yield Leaf(below, (*keys, key), value, neutral, literal, alike)


def _parts(part: Any) -> Iterator[tuple[Key, Any, bool, tuple[Any, ...]]]:
    """Yield what is given directly below a part: key, value, whether it is the default, and the values of a literal."""
    if isinstance(part, BaseModel):
        for name, info in type(part).model_fields.items():
            value, default = getattr(part, name), info.get_default(call_default_factory=True)
            if name in part.model_fields_set or name == "type" or value != default:
                literal = get_args(info.annotation) if get_origin(info.annotation) is Literal else ()
                yield name, value, value == default and name != "type", literal
    elif isinstance(part, Mapping):
        yield from ((key, value, False, ()) for key, value in part.items())
    else:
        yield from ((index, value, False, ()) for index, value in enumerate(part))


def _last_step(part: Any) -> Any:
    """Return the last value on the steps of a parameter; None for one without."""
    step = getattr(part, "step", None)
    if not step or isinstance(part, Normal | LogNormal):
        return None
    return part.low + math.floor((part.high - part.low) / step + 1e-9) * step


def _is_list(value: Any) -> bool:
    """Return whether a value is a list that is one leaf."""
    return isinstance(value, tuple | list) and not (value and isinstance(value[0], BaseModel))
