"""Conversion of HyperOpt's search spaces (pyll graphs of hyperopt.hp) to cloudtune's; `to_hyperopt` has the reverse."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hyperopt.pyll.base import Literal, MissingArgument, as_apply

from cloudtune.interop import build, plain, stepped
from cloudtune.interop.formats import Note
from cloudtune.space.axes import SIGNIFICANT_DIGITS
from cloudtune.space.parameters import (
    Categorical,
    Constant,
    Float,
    Int,
    LogNormal,
    Normal,
    Parameter,
    Scalar,
    same_scalar,
    scalar_key,
)
from cloudtune.space.space import Space

_USUAL_KEYS = ("type", "model", "kind", "name")
"""Keys whose texts name the branches of a choice, in order of preference."""

When = Mapping[str, tuple[Scalar, ...]]


@dataclass(frozen=True)
class _Found:
    """A parameter as found on one path through the choices.

    Attributes:
        name: the parameter's name.
        label: HyperOpt's label; None for a constant.
        parameter: the parameter without conditions.
        when: the values of all choices on the path.
    """

    name: str
    label: str | None
    parameter: Parameter
    when: When


def space_from_hyperopt(space: object, notes: list[Note] | None = None) -> dict[str, Parameter | tuple[Parameter, ...]]:
    """Return the parameters of a HyperOpt space as given to ``fmin``: an ``hp`` expression, or dicts and lists of them.

    A parameter is named by its keys joined by dots: ``{"net": {"lr": hp.uniform(…)}}`` becomes ``net.lr``. Expressions
    without a key, at the root or in a list, are named by their label, and constants in a list by their index. Constants
    become `Constant`.

    A choice among constants becomes `Categorical`. A choice among dicts becomes `Categorical` as well, and the entries
    of the dicts get the condition that their dict is chosen. Its values are the texts of the branches under ``type``,
    ``model``, ``kind``, ``name``, or another key that all branches share with different texts (which then is no
    parameter); constants are themselves; other branches are called by their index. A name in several branches becomes a
    tuple of variants, or one parameter if it is the same parameter of HyperOpt or the same constant.

    ``uniform``, ``loguniform``, ``normal``, ``lognormal``, ``randint`` and ``choice`` keep their distributions (but
    ``randint`` becomes an ordered range instead of unordered categories). The others differ:

    - ``quniform`` and ``uniformint`` round, so that the first and the last multiple of q are drawn less often than
      others (1 and 10 half as often in ``quniform(1, 10, 1)``). Here all are equally likely, including multiples beyond
      the bounds that HyperOpt draws.
    - ``qloguniform``: each multiple is as likely as its interval is wide on the log scale. A log scale has no 0: where
      HyperOpt rounds to 0, q is the lowest value.
    - ``qnormal``, ``qlognormal``: a lognormal parameter is above 0, so that q also replaces the 0 to which HyperOpt
      rounds.
    - ``pchoice`` is supported only with equal probabilities.

    ``scope.int`` around a quantised expression makes an `Int`; around ``qnormal`` and ``qlognormal`` it changes
    nothing: their values are floats without a fraction.

    Args:
        space: a space of HyperOpt.
        notes: extended by a note for each choice with options that are called by their index.

    Raises:
        ValueError: an expression is computed from draws, has unequal probabilities, is no value of a spec, or is used
            under two names; the message names it.
    """
    reader = _Reader()
    reader.read(as_apply(space), "", {})
    found: dict[str, list[_Found]] = {}
    for each in reader.found:
        _gather(found.setdefault(each.name, []), each)
    for entries in found.values():
        entries[:] = [_without_certain(each, found) for each in entries]
    converted = {name: _entry([_conditional(each, found) for each in entries]) for name, entries in found.items()}
    if notes is not None:
        notes += dict.fromkeys(reader.notes)
    Space(converted)  # raises if a name occurs twice in one trial
    return converted


def values_by_name(space: object, point: Mapping[str, Any]) -> dict[str, Scalar]:
    """Return the values of a point of HyperOpt (by label, a choice by its index) by the names of the parameters here."""
    reader = _Reader()
    reader.read(as_apply(space), "", {})
    known = {each.label: each for each in reader.found if each.label is not None}
    values: dict[str, Scalar] = {}
    for label, value in point.items():
        each = known.get(label)
        name = label if each is None else each.name
        values[name] = plain(name, value)
        if each is not None and isinstance(each.parameter, Categorical) and value in range(len(each.parameter.values)):
            values[name] = each.parameter.values[int(value)]
    return values


class _Reader:
    """A walk through a graph, which collects its parameters in `found`, and notes about them in `notes`."""

    def __init__(self) -> None:
        self.found: list[_Found] = []
        self.notes: list[Note] = []
        self._places: dict[str, tuple[str, Any]] = {}

    def read(self, node: Any, path: str, when: When) -> None:
        """Collect the parameters at and below a node, which has these keys (`path`) and choices (`when`) above it."""
        if node.name == "literal":
            name = path or "value"
            self._add(name, None, build(Constant, name, value=plain(name, node.obj)), when)
        elif node.name == "dict":
            if node.pos_args:
                raise ValueError(f"{path or 'the space'}: the keys of a dict must be texts")
            for key, child in node.named_args:
                self.read(child, _join(path, key), when)
        elif node.name == "pos_args":
            for index, child in enumerate(node.pos_args):
                self.read(child, _join(path, _label(child) or str(index)), when)
        elif node.name == "switch":
            self._choice(node, path, when)
        else:
            self._draw(node, path, when)

    def _add(self, name: str, label: str | None, parameter: Parameter, when: When, node: Any = None) -> None:
        if label is not None:
            known_name, known_node = self._places.setdefault(label, (name, node))
            if known_name != name or known_node is not node:
                raise ValueError(
                    f"{name}: the label {label!r} stands twice in the space, also for {known_name}; "
                    "a parameter of cloudtune has one name, and a name one parameter"
                )
        self.found.append(_Found(name, label, parameter, when))

    def _draw(self, node: Any, path: str, when: When) -> None:
        inner, whole = _unwrapped(node)
        if inner.name != "hyperopt_param":
            raise ValueError(
                f"{path or 'the space'}: it is computed (by {inner.name!r}); "
                "convert the hp expressions alone, and compute in the trial"
            )
        label = str(inner.arg["label"].obj)
        name = path or label
        self._add(name, label, _distribution(name, inner.arg["obj"], whole=whole), when, inner)

    def _choice(self, node: Any, path: str, when: When) -> None:
        label = _label(node)
        if label is None:
            raise ValueError(f"{path or 'the space'}: the choice has no label; write hp.choice")
        name = path or label
        options = node.pos_args[1:]
        drawn, _ = _unwrapped(node.pos_args[0])
        _refuse_unequal(name, drawn.arg["obj"], len(options))
        values, key = _branches(name, options)
        self._add(name, label, build(Categorical, name, values=values), when, drawn)
        self._note_numbers(name, values, options, key)
        for value, option in zip(values, options, strict=True):
            inside = {**when, name: (value,)}
            if option.name == "dict" and not option.pos_args:
                for each, child in option.named_args:
                    if each != key:
                        self.read(child, _join(path, each), inside)
            elif option.name in ("dict", "pos_args"):
                self.read(option, path, inside)
            elif option.name != "literal" or not same_scalar(plain(name, option.obj), value):
                self.read(option, _join(path, _label(option) or str(value)), inside)

    def _note_numbers(self, name: str, values: Sequence[Scalar], options: Sequence[Any], key: str | None) -> None:
        """Note the options that are called by their index, which the objective of HyperOpt does not see."""
        numbered = [
            f"{index} is {_described(option)}"
            for index, (value, option) in enumerate(zip(values, options, strict=True))
            if not (option.name == "literal" and same_scalar(option.obj, value))
            and not (option.name == "dict" and key is not None)
        ]
        if numbered:
            message = (
                f"its options are called by their numbers where they are no plain values: {'; '.join(numbered)}; what stands in "
                "them are parameters of their own, and the trial puts them together"
            )
            self.notes.append(Note(name, message))


def _described(option: Any) -> str:
    """Return the description of an option of a choice for a message."""
    if option.name == "literal":
        return repr(option.obj)
    label = _label(option)
    if label is not None:
        return f"the draw {label!r}"
    return {"dict": "a dict", "pos_args": "a list"}.get(option.name, "a computed value")


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _unwrapped(node: Any) -> tuple[Any, bool]:
    """Return the node below conversions to int and float, and whether one of them is to int."""
    whole = False
    while node.name in ("int", "float"):
        whole, node = whole or node.name == "int", node.pos_args[0]
    return node, whole


def _label(node: Any) -> str | None:
    """Return the label of the hp expression that a node is; None for other nodes."""
    inner, _ = _unwrapped(node.pos_args[0] if node.name == "switch" else node)
    return str(inner.arg["label"].obj) if inner.name == "hyperopt_param" else None


def _refuse_unequal(name: str, drawn: Any, count: int) -> None:
    given = dict(_arguments(name, drawn)) if drawn.name == "randint" else {}
    if drawn.name != "categorical" and given != {"low": count}:
        raise ValueError(f"{name}: {drawn.name} chooses among {count} options; write hp.choice")
    if drawn.name == "categorical":
        shares = [float(share.obj) for share in drawn.arg["p"].pos_args]
        if any(not math.isclose(share, shares[0], rel_tol=1e-6) for share in shares):
            raise ValueError(
                f"{name}: the choices are not equally likely ({', '.join(map(str, shares))}), which cloudtune has not; "
                "write hp.choice instead of hp.pchoice"
            )


def _branches(name: str, options: Sequence[Any]) -> tuple[tuple[Scalar, ...], str | None]:
    """Return the values of a choice's options, and the key that holds them in dicts (None for none)."""
    dicts = [dict(option.named_args) for option in options if option.name == "dict"]
    key = _distinguishing_key(dicts)
    values: list[Scalar] = []
    for index, option in enumerate(options):
        if option.name == "literal":
            values.append(plain(name, option.obj))
        else:
            named = option.name == "dict" and key is not None
            values.append(dict(option.named_args)[key].obj if named else index)
    if len({scalar_key(value) for value in values}) == len(values):
        return tuple(values), key
    if all(option.name == "literal" for option in options):
        raise ValueError(f"{name}: an option stands twice, so that the choices are not equally likely; name each once")
    return tuple(range(len(options))), None


def _distinguishing_key(branches: Sequence[Mapping[str, Any]]) -> str | None:
    """Return a key with a different text in every branch (a usual key for a single branch); None for none."""
    shared = [key for key in (branches[0] if branches else ()) if all(key in branch for branch in branches)]
    usual = [key for key in _USUAL_KEYS if key in shared]
    others = [key for key in shared if key not in usual] if len(branches) > 1 else []
    for key in [*usual, *others]:
        texts = {branch[key].obj for branch in branches if isinstance(getattr(branch[key], "obj", None), str)}
        if len(texts) == len(branches):
            return key
    return None


_GREATEST = 700
"""The greatest exponent of e that a float has room for, and some more."""


def _distribution(name: str, drawn: Any, *, whole: bool) -> Parameter:
    """Return the parameter for a distribution of HyperOpt, with the differences listed in `space_from_hyperopt`."""
    given = dict(_arguments(name, drawn))
    q = given.get("q")
    if whole and (q is None or q % 1) and drawn.name != "randint":
        raise ValueError(f"{name}: scope.int cuts off a fraction here; use hp.uniformint, or a whole q")
    match drawn.name:
        case "uniform":
            return build(Float, name, low=given["low"], high=given["high"])
        case "loguniform":
            return build(Float, name, low=_exp(name, given["low"]), high=_exp(name, given["high"]), scale="log")
        case "quniform":
            return stepped(name, given["low"], given["high"], given["q"], "linear", whole=whole)
        case "qloguniform":
            low, high = _exp(name, given["low"]), _exp(name, given["high"])
            return stepped(name, low, high, given["q"], "log", whole=whole)
        case "normal" | "qnormal":
            return build(Normal, name, mean=given["mu"], std=given["sigma"], step=q)
        case "lognormal" | "qlognormal":
            return build(LogNormal, name, mean=given["mu"], std=given["sigma"], step=q)
        case "randint":
            low, high = (given["low"], given["high"]) if "high" in given else (0, given["low"])
            return build(Int, name, low=int(low), high=int(high) - 1)
        case _:
            raise ValueError(f"{name}: cloudtune has no distribution {drawn.name!r}")


def _arguments(name: str, drawn: Any) -> Iterator[tuple[str, float]]:
    for key, argument in drawn.arg.items():
        if argument is MissingArgument or key in ("rng", "size"):
            continue
        if not isinstance(argument, Literal):
            raise ValueError(  # noqa: TRY004  # an error in the user's space
                f"{name}: its {key} is itself drawn or computed; cloudtune's bounds are numbers"
            )
        if argument.obj is not None:
            yield key, argument.obj.item() if hasattr(argument.obj, "item") else argument.obj


def _exp(name: str, exponent: float) -> float:
    """Return the exponential, rounded so that exp(log(1e-5)) is 1e-5."""
    if abs(exponent) > _GREATEST:
        raise ValueError(f"{name}: {exponent} is an exponent of e, and too large for one; write log({exponent})")
    return float(f"{math.exp(exponent):.{SIGNIFICANT_DIGITS - 1}e}")


# Merging of paths to one name


def _gather(entries: list[_Found], new: _Found) -> None:
    """Add a parameter to those of its name; merge it with an equal one whose conditions differ in one choice."""
    for index, known in enumerate(entries):
        differing = [key for key in known.when if known.when[key] != new.when.get(key)]
        same = known.label == new.label and known.parameter == new.parameter
        if same and known.when.keys() == new.when.keys() and len(differing) <= 1:
            joined = {key: (*known.when[key], *new.when[key]) for key in differing}
            entries.pop(index)
            _gather(entries, replace(known, when={**known.when, **joined}))
            return
    entries.append(new)


def _without_certain(each: _Found, found: Mapping[str, list[_Found]]) -> _Found:
    """Return the parameter without conditions that allow every value of a choice."""
    options = {
        parent: len(choices[0].parameter.values)
        for parent in each.when
        if len(choices := found[parent]) == 1 and isinstance(choices[0].parameter, Categorical)
    }
    when = {parent: values for parent, values in each.when.items() if len(values) != options.get(parent)}
    return replace(each, when=when)


def _conditional(each: _Found, found: Mapping[str, list[_Found]]) -> Parameter:
    """Return the parameter with its conditions, without those that a parent has as well."""
    implied = {
        (grandparent, values)
        for parent in each.when
        if len(found[parent]) == 1
        for grandparent, values in found[parent][0].when.items()
    }
    when = {parent: values for parent, values in each.when.items() if (parent, values) not in implied}
    return each.parameter.model_copy(update={"when": when or None})


def _entry(parameters: list[Parameter]) -> Parameter | tuple[Parameter, ...]:
    return parameters[0] if len(parameters) == 1 else tuple(parameters)
