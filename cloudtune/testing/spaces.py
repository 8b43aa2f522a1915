"""Hypothesis strategies for spaces and their parts; see `cloudtune.testing.specs`."""

import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Literal

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from cloudtune.space.parameters import (
    Categorical,
    Constant,
    Float,
    Int,
    LogNormal,
    Normal,
    Ordinal,
    Parameter,
    Scalar,
    Scale,
    scalar_key,
)
from cloudtune.space.space import Space

Entry = Parameter | tuple[Parameter, ...]
Texts = SearchStrategy[str]

_WORDS = (
    "a",
    "ml.m5.large",
    "NVIDIA_TESLA_T4",
    "two words",
    "it's: a #1",
    "s3://bucket/a-b",
    "no",
    "1.5",
    "größer",
    "-x",
)

TEXTS: Texts = st.sampled_from(_WORDS) | st.from_regex(r"[A-Za-z][A-Za-z0-9_./-]{0,11}", fullmatch=True)
"""Texts of at least one character, such as people write."""


@cache
def scalars(texts: Texts = TEXTS) -> SearchStrategy[Scalar]:
    """Generate values that a parameter may take: null, booleans, whole and real numbers, texts (also empty)."""
    return st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**53), 2**53),
        st.floats(allow_nan=False, allow_infinity=False),
        st.just("") | texts,
    )


# Parameters


@cache
def parameters(texts: Texts = TEXTS) -> SearchStrategy[Parameter]:
    """Generate parameters of every kind, on every scale, with and without steps and cuts, without conditions."""
    return st.one_of(
        _floats(),
        _ints(),
        st.builds(Categorical, values=_distinct(scalars(texts))),
        _numeric_ordinals(),
        st.builds(Ordinal, values=_distinct(texts)),
        st.builds(Constant, value=scalars(texts)),
        _normals(),
        _lognormals(),
    )


@cache
def _distinct(values: SearchStrategy[Any]) -> SearchStrategy[tuple[Any, ...]]:
    return st.lists(values, min_size=1, max_size=5, unique_by=scalar_key).map(tuple)


_SCALES: SearchStrategy[Scale] = st.sampled_from(["linear", "log", "reverse_log"])
_SCALES_OF_INTS: SearchStrategy[Literal["linear", "log"]] = st.sampled_from(["linear", "log"])
_PARTS = st.none() | st.integers(1, 1000)


@cache
@st.composite
def _floats(draw: DrawFn) -> Float:
    scale = draw(_SCALES)
    if scale == "linear":
        low = draw(st.floats(-1e6, 1e6))
        high = low + draw(st.floats(0, 1e6))
    elif scale == "log":
        low = draw(st.floats(1e-9, 1e3))
        high = low * draw(st.floats(1, 1e9))
    else:
        low = draw(st.floats(0, 0.99))
        high = low + (0.999999 - low) * draw(st.floats(0, 1))
    parts = draw(_PARTS)
    step = (high - low) / parts if parts else 0.0
    is_fine = step < 1e-12 * max(abs(low), abs(high))  # the spec refuses steps finer than the digits of a value
    return Float(low=low, high=high, scale=scale, step=None if is_fine else step or None)


@cache
@st.composite
def _ints(draw: DrawFn) -> Int:
    scale = draw(_SCALES_OF_INTS)
    low = draw(st.integers(1 if scale == "log" else -(2**31), 2**31))
    high = low + draw(st.integers(0, 2**31))
    step = draw(st.just(1) | st.integers(1, max(high - low, 1)))
    return Int(low=low, high=high, scale=scale, step=step)


_NUMBERS = _distinct(st.integers(-(10**6), 10**6) | st.floats(-1e6, 1e6))


@cache
@st.composite
def _numeric_ordinals(draw: DrawFn) -> Ordinal:
    values = sorted(draw(_NUMBERS))
    fitting = ["linear"]
    if values[0] > 0:
        fitting.append("log")
    if values[0] >= 0 and values[-1] < 1:
        fitting.append("reverse_log")
    return Ordinal(values=tuple(values), scale=draw(st.sampled_from(fitting)))


@cache
@st.composite
def _normals(draw: DrawFn) -> Normal:
    mean, std = draw(st.floats(-1e3, 1e3)), draw(st.floats(1e-3, 1e3))
    return Normal(mean=mean, std=std, **_cuts(draw, lambda deviations: mean + deviations * std))


@cache
@st.composite
def _lognormals(draw: DrawFn) -> LogNormal:
    mean, std = draw(st.floats(-5, 5)), draw(st.floats(0.01, 3))
    return LogNormal(mean=mean, std=std, **_cuts(draw, lambda deviations: math.exp(mean + deviations * std)))


_LOWER_CUTS = st.none() | st.floats(-4, -0.1)
_UPPER_CUTS = st.none() | st.floats(0.1, 4)
_PARTS_OF_NORMALS = st.none() | st.integers(2, 200)


def _cuts(draw: DrawFn, at: Callable[[float], float]) -> dict[str, Any]:
    """Draw cuts and a step of a normal; `at` returns the value so many standard deviations from the mean."""
    low, high = draw(_LOWER_CUTS), draw(_UPPER_CUTS)
    parts = draw(_PARTS_OF_NORMALS)
    width = at(5 if high is None else high) - at(-5 if low is None else low)
    return {
        "low": None if low is None else at(low),
        "high": None if high is None else at(high),
        "step": width / parts if parts else None,
    }


# Spaces


@cache
def parameter_names(texts: Texts = TEXTS) -> Texts:
    """Generate names of parameters: any characters but blanks, braces and =, not beginning with a dash."""
    plain = st.from_regex(r"[a-z][a-z0-9_]{0,7}", fullmatch=True) | st.sampled_from(["model.lr", "C", "on", "a[0]"])
    wild = texts.map(lambda text: "".join(char for char in text if not char.isspace() and char not in "{}=")[:256])
    return plain | wild.filter(lambda name: name != "" and not name.startswith("-"))


_SHAPES = st.sampled_from(["alone", "alone", "conditional", "variants"])


@cache
@st.composite
def spaces(draw: DrawFn, *, max_size: int = 5, texts: Texts = TEXTS) -> dict[str, Entry]:
    """Generate spaces of one to `max_size` names: parameters of every kind, nested conditions, and variants."""
    names = draw(st.lists(parameter_names(texts), min_size=1, max_size=max_size, unique=True))
    space: dict[str, Entry] = {}
    for name in names:
        parents = {other: values for other, entry in space.items() if (values := _values_of_parent(entry))}
        shape = draw(_SHAPES) if parents else "alone"
        parameter = draw(parameters(texts))
        if shape == "alone":
            space[name] = parameter
            continue
        parent = draw(st.sampled_from(sorted(parents)))
        values = draw(st.permutations(parents[parent]))
        border = draw(st.integers(1, len(values)))
        first = _when(parameter, {parent: values[:border]})
        if shape == "variants" and border < len(values):
            space[name] = (first, _when(draw(parameters(texts)), {parent: values[border:]}))
        else:
            space[name] = first
    return space


@st.composite
def first_trials(draw: DrawFn, space: Mapping[str, Entry], *, most: int) -> tuple[dict[str, Scalar], ...]:
    """Generate trials of a space to begin with, with some or all of their values; at most so many."""
    searched = Space(space)
    trials = []
    for positions in draw(_positions(len(searched.dimensions), most)):
        values = searched.at(positions)
        names = draw(st.lists(st.sampled_from(list(values)), min_size=1, unique=True))
        trials.append({name: values[name] for name in names})
    return tuple(trials)


@cache
def _positions(size: int, most: int) -> SearchStrategy[list[list[float]]]:
    return st.lists(st.lists(st.floats(0, 1), min_size=size, max_size=size), max_size=most)


def _values_of_parent(entry: Entry) -> list[Scalar]:
    """Return some values that a parent can take; none for a continuous one."""
    match entry[0] if isinstance(entry, tuple) else entry:
        case Categorical(values=values) | Ordinal(values=values):
            return list(values)
        case Constant(value=value):
            return [value]
        case Int(low=low, high=high, step=step):
            return [low, low + step] if low + step <= high else [low]
        case _:
            return []


def _when(parameter: Parameter, conditions: Mapping[str, list[Scalar]]) -> Parameter:
    when = {parent: tuple(values) for parent, values in conditions.items()}
    return type(parameter).model_validate({**dict(parameter), "when": when})
