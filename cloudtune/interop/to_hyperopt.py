"""Conversion of cloudtune's search spaces to HyperOpt's; see `cloudtune.interop.hyperopt` for the reverse."""

import math
from collections.abc import Mapping
from typing import Any

from hyperopt import hp

from cloudtune.interop import Carrier, Way, comfortable, plain
from cloudtune.space.axes import ListedAxis
from cloudtune.space.parameters import (
    Categorical,
    Float,
    Int,
    LogNormal,
    Normal,
    Scalar,
    same_scalar,
)
from cloudtune.space.space import Dimension, Space, Values

_MOST_INDICES = 2**20
"""Most steps that are encoded as indices; with more, HyperOpt's estimates of one step underflow."""


def hyperopt_space(space: Space) -> dict[str, Any]:
    """Return a space for HyperOpt's algorithms: an expression for each dimension, with its key as the label.

    - ``hp.choice`` for a categorical parameter, which contains the dimensions that exist only for its values: its
      options are then dicts, with the value under the parameter's key. A dimension that exists in several branches is
      the same parameter of HyperOpt in all of them.
    - ``hp.uniform``, ``hp.loguniform``, ``hp.normal`` and ``hp.lognormal`` for float, normal and lognormal parameters
      without steps and bounds.
    - ``hp.quniform`` over indices from 0, which are equally likely, for ordinals and for steps on a linear scale (up
      to 2^20 of them).
    - ``hp.uniform`` over positions in [0, 1], on which the parameter's distribution is uniform, for all others.
    - A parameter of one value is that value.

    Dimensions with several parents, or with a parent that is not categorical or has variants, are unconditional;
    HyperOpt then draws them also for trials in which they are not active.

    `carriers` encodes and decodes values of labels, `values_from_hyperopt` makes a trial's values from all labels.
    """
    nodes: dict[str, Any] = {}
    places = {dimension.key: _place(space, dimension) for dimension in space.dimensions}
    for dimension in reversed(space.dimensions):  # children follow their parents
        inside = [(key, place[1]) for key, place in places.items() if place is not None and place[0] == dimension.key]
        nodes[dimension.key] = _expression(dimension, [(key, values, nodes[key]) for key, values in inside])
    return {dimension.key: nodes[dimension.key] for dimension in space.dimensions if places[dimension.key] is None}


def _place(space: Space, dimension: Dimension) -> tuple[str, tuple[Scalar, ...]] | None:
    """Return the key of the choice that contains a dimension, and the values for which; None if it is unconditional."""
    conditions = dimension.parameter.when or {}
    if len(conditions) != 1:
        return None
    (name, values), *_ = conditions.items()
    parents = [each for each in space.dimensions if each.name == name]
    if len(parents) != 1 or not isinstance(parents[0].axis, ListedAxis):
        return None
    if parents[0].axis.size == 1:  # a parent with one value has it whenever it exists
        return _place(space, parents[0])
    return (parents[0].key, values) if isinstance(parents[0].parameter, Categorical) else None


def _expression(dimension: Dimension, inside: list[tuple[str, tuple[Scalar, ...], Any]]) -> Any:
    key, axis, parameter = dimension.key, dimension.axis, dimension.parameter
    if axis.size == 1:
        return axis.at(0.5)
    if isinstance(parameter, Categorical):
        return hp.choice(key, [_option(key, value, inside) for value in parameter.values])
    by = _way(dimension)
    if by == "index":
        return hp.quniform(key, -0.5, len(axis.grid(1)) - 0.5, 1)
    if by == "position":
        return hp.uniform(key, 0, 1)
    match parameter:
        case Float(scale="log"):
            return hp.loguniform(key, math.log(parameter.low), math.log(parameter.high))
        case Normal():
            return hp.normal(key, parameter.mean, parameter.std)
        case LogNormal():
            return hp.lognormal(key, parameter.mean, parameter.std)
        case Float():
            return hp.uniform(key, parameter.low, parameter.high)
        case _:
            raise TypeError(f"no expression for {parameter!r}")


def _option(key: str, value: Scalar, inside: list[tuple[str, tuple[Scalar, ...], Any]]) -> Any:
    if not inside:
        return value
    here = {child: node for child, values, node in inside if any(same_scalar(value, each) for each in values)}
    return {key: value, **here}


def _way(dimension: Dimension) -> Way:
    axis, parameter = dimension.axis, dimension.parameter
    match parameter:
        case Float(step=None, scale="linear") if comfortable(parameter.high - parameter.low):
            return "value"
        case Float(step=None, scale="log") if comfortable(math.log(parameter.high) - math.log(parameter.low)):
            return "value"
        case Normal(low=None, high=None, step=None) | LogNormal(low=None, high=None, step=None):
            return "value" if comfortable(parameter.std) and comfortable(1 + abs(parameter.mean)) else "position"
        case Float(step=float(), scale="linear") | Int(scale="linear"):
            return "index" if axis.size is not None and axis.size <= _MOST_INDICES else "position"
        case _:
            return "index" if isinstance(axis, ListedAxis) else "position"


def carriers(space: Space) -> dict[str, Carrier]:
    """Return the encodings of values in the labels of `hyperopt_space`; dimensions of one value have no label."""
    return {
        dimension.key: Carrier(dimension, _way(dimension)) for dimension in space.dimensions if dimension.axis.size != 1
    }


def values_from_hyperopt(space: Space, labels: Mapping[str, Any]) -> Values:
    """Return a trial's values from HyperOpt's values of the labels of `hyperopt_space`, such as the result of ``fmin``.

    Raises:
        ValueError: there is no value for a dimension that is active in the trial.
    """
    ways = carriers(space)
    values: Values = {}
    for dimension in space.dimensions:
        if not dimension.active(values):
            continue
        if dimension.key not in ways:
            values[dimension.name] = dimension.axis.at(0.5)
        elif dimension.key not in labels:
            raise ValueError(f"no value for the label {dimension.key!r}")
        else:
            values[dimension.name] = ways[dimension.key].decode(plain(dimension.key, labels[dimension.key]))
    return values
