"""Conversion of parameters to Optuna's distributions such that a dashboard shows their real values."""

import json
from collections.abc import Mapping

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from cloudtune.interop.optuna import carriers, optuna_distributions
from cloudtune.space.axes import ListedAxis, NormalAxis, RealAxis, SteppedAxis
from cloudtune.space.parameters import Int, LogNormal, Scalar
from cloudtune.space.space import Dimension, Space


class ShownSpace:
    """The space of a run in Optuna, with the values that the trials got.

    Parameters that Optuna supports are encoded by `cloudtune.interop.optuna`. Those that are encoded there as an index
    or a position are shown by their values instead, under the nearest distribution: ordinals as choices; normal
    parameters and the reverse log scale as plain ranges; lognormal ones and steps on a log scale as ranges on a log
    scale; choices that are equal to Optuna (1 and true) as their JSON.

    Attributes:
        approximate: the names of the parameters shown under a nearest distribution.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._carriers = carriers(space)
        own = optuna_distributions(space)
        self._distributions = {
            each.key: own[each.key] if self._carriers[each.key].by == "value" else _nearest(each)
            for each in space.dimensions
        }
        names = (each.name for each in space.dimensions if self._carriers[each.key].by != "value")
        self.approximate = tuple(dict.fromkeys(names))

    def params_of(self, values: Mapping[str, Scalar]) -> dict[str, tuple[Scalar, BaseDistribution]]:
        """Return a trial's values with their distributions by dimension key; without values outside of their axis."""
        found: dict[str, tuple[Scalar, BaseDistribution]] = {}
        for dimension in self._space.active(values):
            try:
                found[dimension.key] = (
                    self._shown(dimension, values[dimension.name]),
                    self._distributions[dimension.key],
                )
            except (KeyError, ValueError):
                continue  # not within the space: a trial that the service made by itself
        return found

    def missing(self, values: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """Return the values that `params_of` leaves out, by name."""
        shown = self.params_of(values)
        names = {dimension.name for dimension in self._space.dimensions if dimension.key in shown}
        return {name: value for name, value in values.items() if name not in names}

    def _shown(self, dimension: Dimension, value: Scalar) -> Scalar:
        if self._carriers[dimension.key].by == "value":
            return self._carriers[dimension.key].encode(value)
        axis, distribution = dimension.axis, self._distributions[dimension.key]
        value_on_axis = axis.at(axis.position(value))
        match distribution:
            case CategoricalDistribution():
                return json.dumps(value_on_axis) if _ambiguous(axis) else value_on_axis
            case FloatDistribution(low=low, high=high):
                return min(max(float(value_on_axis), low), high)  # type: ignore[arg-type]  # a number's axis
            case _:
                return value_on_axis


def _nearest(dimension: Dimension) -> BaseDistribution:
    axis, parameter = dimension.axis, dimension.parameter
    if isinstance(axis, ListedAxis):
        return CategoricalDistribution(
            [json.dumps(value) for value in axis.values] if _ambiguous(axis) else axis.values
        )
    low, high = _ends(axis)
    log = (isinstance(parameter, LogNormal) or getattr(parameter, "scale", "") == "log") and low > 0
    if isinstance(parameter, Int):
        return IntDistribution(int(low), int(high), log=log)
    return FloatDistribution(low, high, log=log)


def _ends(axis: object) -> tuple[float, float]:
    match axis:
        case SteppedAxis():
            return axis.value(0), axis.value(axis.size - 1)
        case NormalAxis(size=int(size)):
            values = axis.grid(1)
            return float(values[0]), float(values[size - 1])  # type: ignore[arg-type]  # numbers
        case RealAxis(low=low, high=high) | NormalAxis(low=low, high=high):
            return low, high
        case _:
            raise TypeError(f"no ends of {axis!r}")


def _ambiguous(axis: object) -> bool:
    """Return whether two of the values are equal to Optuna, as 1 and true are."""
    return isinstance(axis, ListedAxis) and len(set(axis.values)) < axis.size
