"""From the expressions of a sweep's search space to a space."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from cloudtune.space.axes import axis_of
from cloudtune.space.parameters import LogNormal, Normal
from cloudtune_azureml.v2 import snake

Entry = dict[str, Any]
"""A parameter as the spec writes it."""

_LONGEST = 4096
"""Values of a whole-number range that are listed."""


def space_of(expressions: Mapping[str, Any]) -> dict[str, Any]:
    """The space of a sweep; what a spec cannot say of it stays in the native settings."""
    reader = _Reader(frozenset(expressions))
    for name, expression in expressions.items():
        reader.add(name, expression, {})
    return reader.space


class _Reader:
    """Reads expressions, and those in the branches of choices, into one space.

    Args:
        roots: names that parameters of branches cannot have.
    """

    def __init__(self, roots: frozenset[str]) -> None:
        self.space: dict[str, Any] = {}
        self._roots = roots
        self._parents: dict[str, str] = {}

    def add(self, name: str, expression: Mapping[str, Any], when: Entry) -> None:
        """Adds a parameter, with what stands in its branches."""
        if snake(expression["type"]) == "choice" and any(isinstance(value, Mapping) for value in expression["values"]):
            self._add_branches(name, expression["values"], when)
        else:
            self._put(name, {**entry_of(expression), **when})

    def _put(self, name: str, entry: Entry) -> None:
        """Adds an entry; a parameter that stands in several branches has a variant for each."""
        known = self.space.get(name)
        if known is None:
            self.space[name] = entry
        elif isinstance(known, list):
            known.append(entry)
        else:
            self.space[name] = [known, entry]

    def _add_branches(self, name: str, branches: list[Any], when: Entry) -> None:
        """A choice among dicts: a category whose values name the branches, and what stands in them under a condition."""
        labels = [_label(name, branch, index) for index, branch in enumerate(branches)]
        self._put(name, {"type": "categorical", "values": labels, **when})
        for label, branch in zip(labels, branches, strict=True):
            for child, inner in branch.items() if isinstance(branch, Mapping) else ():
                if child not in (name, "name") or isinstance(inner, Mapping):
                    expression = inner if isinstance(inner, Mapping) else {"type": "choice", "values": [inner]}
                    self.add(self._free(child, name), expression, {"when": {name: [label]}})

    def _free(self, child: str, parent: str) -> str:
        """A name for a parameter of a branch: its own, unless another choice or the whole space has it."""
        while child in self._roots or self._parents.setdefault(child, parent) != parent:
            child = f"{parent}_{child}"
        return child


def _label(name: str, branch: Any, index: int) -> Any:
    """What a branch is called: by itself, by its member ``name`` or that of the choice's own name, or by its number."""
    if not isinstance(branch, Mapping):
        return branch
    label = branch.get(name, branch.get("name"))
    return label if isinstance(label, str | int | float) else f"branch {index}"


def entry_of(expression: Mapping[str, Any]) -> Entry:
    """A parameter from an expression without branches."""
    kind = snake(expression["type"])
    if kind == "choice":
        return {"type": "categorical", "values": list(expression["values"])}
    if kind == "randint":
        return {"type": "int", "low": 0, "high": expression["upper"] - 1}
    if "mu" in expression:
        return _bell(str(kind), expression)
    return _range(str(kind), expression)


def _bell(kind: str, expression: Mapping[str, Any]) -> Entry:
    log, mean, std = "log" in kind, expression["mu"], expression["sigma"]
    entry = {"type": "lognormal" if log else "normal", "mean": mean, "std": std}
    if "q" not in expression:
        return entry
    bell = LogNormal if log else Normal
    try:
        axis_of(bell(mean=mean, std=std, step=expression["q"]))
    except ValueError:
        return entry  # a step that is too fine for the distribution
    return {**entry, "step": expression["q"]}


def _range(kind: str, expression: Mapping[str, Any]) -> Entry:
    low, high = expression["min_value"], expression["max_value"]
    log = "log" in kind
    if log:
        low, high = _exp(low), _exp(high)
    q = expression.get("q")
    if q is None:
        return {"type": "float", "low": low, "high": high, **({"scale": "log"} if log else {})}
    first, last = _multiple(low, q), _multiple(high, q)
    if log and first <= 0:
        first = q
    whole = all(float(number).is_integer() for number in (first, last, q))
    entry: Entry = {"type": "int", "low": int(first), "high": int(last)} if whole else {"type": "float", "low": first, "high": last}  # fmt: skip
    step = {} if whole and q == 1 else {"step": int(q) if whole else q}
    return {**entry, **step, **({"scale": "log"} if log else {})}


def _exp(value: float) -> float:
    """e to the power, without the dust of binary fractions: exp(ln 0.1) is 0.1."""
    return float(f"{math.exp(value):.12g}")


def _multiple(value: float, q: float) -> float:
    return float(f"{round(value / q) * q:.12g}")


def names_in(expressions: Mapping[str, Any]) -> Iterator[str]:
    """All names of a search space, also those in the branches of choices."""
    for name, expression in expressions.items():
        yield name
        values = expression.get("values") if isinstance(expression, Mapping) else None
        for value in values or ():
            if isinstance(value, Mapping):
                yield from names_in(value)


# Commands

_PLACE = re.compile(r"\$\{\{\s*(search_space|inputs|outputs)\.([\w.]+?)\s*\}\}|(?<!\$)\{search_space\.(\w+)\}")


def with_names(command: str, renamed: Mapping[str, str]) -> str:
    """A command whose places name parameters otherwise."""
    for name in sorted(renamed, key=len, reverse=True):
        place = rf"(\{{\s*search_space\.){re.escape(name)}(\s*\}})"
        command = re.sub(place, lambda found, new=renamed[name]: f"{found[1]}{new}{found[2]}", command)  # type: ignore[misc]
    return command


def command_of(command: str, inputs: Mapping[str, Any]) -> str:
    """A neutral command: parameters as ``{name}``, data by the variables of the trial, values as they are."""

    def put(found: re.Match[str]) -> str:
        part, name = found[1] or "search_space", found[2] or found[3]
        if part == "search_space":
            return f"{{{name}}}"
        if part == "outputs":
            return "$CLOUDTUNE_OUTPUT_DIR"
        given = inputs.get(name)
        value = given.get("value") if isinstance(given, Mapping) else given
        if value is not None:
            return value if isinstance(value, str) else json.dumps(value)
        return f"$CLOUDTUNE_DATA_{re.sub(r'[^A-Z0-9]', '_', name.upper())}"

    return _PLACE.sub(put, command)
