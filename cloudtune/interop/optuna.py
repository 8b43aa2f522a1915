"""Conversion between Optuna's distributions (optuna.distributions) and cloudtune's parameters."""

import math
from collections.abc import Mapping
from decimal import Decimal

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from cloudtune.interop import Carrier, Way, build, comfortable, plain
from cloudtune.space.axes import ListedAxis, SteppedAxis
from cloudtune.space.parameters import Categorical, Float, Int, Parameter
from cloudtune.space.space import Dimension, Space

_FINEST = 1e-7
"""The least step relative to the values that Optuna supports, which compares multiples within 1e-8 of a step."""


def space_from_optuna(distributions: Mapping[str, BaseDistribution]) -> dict[str, Parameter]:
    """Return the parameters for Optuna's distributions, such as those of a trial (``trial.distributions``).

    Float and int distributions keep their bounds, step and log scale, categorical ones their choices. Optuna has
    conditions only as branches of the user's code: add them to the parameters as ``when``.

    Args:
        distributions: the distributions by parameter name.

    Raises:
        ValueError: a choice or a bound is not valid in a spec; the message names the parameter.
    """
    return {name: _parameter(name, distribution) for name, distribution in distributions.items()}


def _parameter(name: str, distribution: BaseDistribution) -> Parameter:
    match distribution:
        case CategoricalDistribution():
            return build(Categorical, name, values=tuple(plain(name, choice) for choice in distribution.choices))
        case FloatDistribution():
            low, high, step = distribution.low, distribution.high, distribution.step
            return build(Float, name, low=low, high=high, step=step, scale="log" if distribution.log else "linear")
        case IntDistribution():
            low, high, step = distribution.low, distribution.high, distribution.step
            return build(Int, name, low=low, high=high, step=step, scale="log" if distribution.log else "linear")
        case _:
            raise ValueError(f"{name}: cloudtune has no kind of parameter for {distribution!r}")


def optuna_distributions(space: Space) -> dict[str, BaseDistribution]:
    """Return a distribution for each dimension of a space, by the dimension's key.

    Parameters that Optuna supports keep their values: float and int parameters on a linear or log scale, and
    categorical ones. The others are encoded as numbers, which `carriers` encodes and decodes:

    - as an `IntDistribution` of indices, from 0: ordinals, and float parameters on a linear scale with steps that are
      too fine for Optuna or that do not divide the range;
    - as a `CategoricalDistribution` of indices: categorical parameters with both 1 and true (or 0 and false), which
      are equal to Optuna;
    - as a `FloatDistribution` of positions in [0, 1], on which the parameter's distribution is uniform: normal and
      lognormal parameters, the reverse log scale, steps on a log scale, and ranges so narrow or wide that density
      estimates would under- or overflow.

    A parameter of one value is a categorical distribution of one choice. Conditions are not part of distributions.
    """
    return {dimension.key: _encoded(dimension)[1] for dimension in space.dimensions}


def carriers(space: Space) -> dict[str, Carrier]:
    """Return the encodings of values in the distributions of `optuna_distributions`, by dimension key."""
    return {dimension.key: Carrier(dimension, _encoded(dimension)[0]) for dimension in space.dimensions}


def _encoded(dimension: Dimension) -> tuple[Way, BaseDistribution]:
    axis, parameter = dimension.axis, dimension.parameter
    if isinstance(axis, ListedAxis):
        return _choices(axis)
    match parameter:
        case Int(step=1, scale="log"):
            return "value", IntDistribution(parameter.low, parameter.high, log=True)
        case Int(scale="linear") if isinstance(axis, SteppedAxis):
            return "value", IntDistribution(parameter.low, int(axis.value(axis.size - 1)), step=parameter.step)
        case Float(step=float(step), scale="linear") if isinstance(axis, SteppedAxis):
            return _float_steps(axis, step)
        case Float(step=None, scale="linear") if comfortable(parameter.high - parameter.low):
            return "value", FloatDistribution(parameter.low, parameter.high)
        case Float(step=None, scale="log") if comfortable(math.log(parameter.high) - math.log(parameter.low)):
            return "value", FloatDistribution(parameter.low, parameter.high, log=True)
        case _:
            return "position", FloatDistribution(0, 1)


def _choices(axis: ListedAxis) -> tuple[Way, BaseDistribution]:
    if axis.ordered and axis.size > 1:
        return "index", IntDistribution(0, axis.size - 1)
    if len(set(axis.values)) < axis.size:  # 1 and true are equal to Optuna, as in a set
        return "index", CategoricalDistribution(range(axis.size))
    return "value", CategoricalDistribution(axis.values)


def _float_steps(axis: SteppedAxis, step: float) -> tuple[Way, BaseDistribution]:
    low, high = float(axis.value(0)), float(axis.value(axis.size - 1))
    divides = (Decimal(repr(high)) - Decimal(repr(low))) % Decimal(repr(step)) == 0  # else Optuna drops the last value
    if divides and step > _FINEST * max(abs(low), abs(high)):
        return "value", FloatDistribution(low, high, step=step)
    return "index", IntDistribution(0, axis.size - 1)
