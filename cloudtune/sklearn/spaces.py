"""Conversion of scikit-learn's search spaces (grids, lists of grids, distributions) to a space of cloudtune."""

import contextlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from pydantic import ValidationError
from scipy.stats import rv_discrete
from sklearn.base import BaseEstimator

from cloudtune.errors import Problem, SpecError
from cloudtune.sklearn.evaluating import Decoding, Draw, Listed, Quantile
from cloudtune.space.parameters import (
    KINDS,
    Categorical,
    Constant,
    Float,
    Int,
    LogNormal,
    Normal,
    Ordinal,
    Parameter,
    Scalar,
    SpecModel,
    scalar_key,
)

SELECTOR = "grid"
"""The name of the parameter that selects one of several grids (with a _ appended if the name is taken)."""

TAIL = 1e-9
"""The probability cut from each end of a distribution searched by its quantile function, infinite there for some."""

_PROBES = (0.001, 0.1, 0.25, 0.5, 0.75, 0.9, 0.999)
"""Probabilities at which a distribution must agree with the parameter that replaces it."""

_SEEDS = 2**31 - 1

_DISTRIBUTED = "give a list, an array, a distribution of scipy.stats or a parameter of cloudtune"


class SpaceTypeError(SpecError, TypeError):
    """A space with only type errors, for which scikit-learn's searches raise TypeError."""


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """A space with the conversion of its values to the estimator's parameters.

    Attributes:
        entries: parameters, or variants for several grids, by name, as plain data of the spec.
        decoding: converts a trial's values to the estimator's parameters.
        listed: whether all parameters are lists of values, so that the combinations are a grid of scikit-learn.
    """

    entries: Mapping[str, Any]
    decoding: Decoding
    listed: bool


def search_space(space: Any, *, in_order: bool) -> SearchSpace:
    """Return the space of a dictionary of parameters, or of a list of dictionaries, of which each candidate uses one.

    Args:
        space: lists of values, distributions and cloudtune's parameters by name, or a list of such dictionaries.
        in_order: whether lists keep their order, as a grid needs it; else numbers are sorted, so that models can use
            their distances.

    Raises:
        SpecError: the space is not valid; lists every mistake. Also a TypeError if all mistakes are of type.
    """
    grids = [space] if isinstance(space, Mapping) else space
    if (
        not isinstance(grids, Sequence)
        or isinstance(grids, str)
        or not all(isinstance(grid, Mapping) for grid in grids)
    ):
        problem = Problem("space", f"must be a dictionary, or a list of dictionaries, not {_shown(space)}")
        raise _refused([problem], of_type=True)
    if not grids:
        raise _refused([Problem("space", "has no grid; give at least one dictionary")])
    names = sorted({name for grid in grids for name in grid}, key=str)
    several = len(grids) > 1 or not grids[0]
    selector = _free(SELECTOR, names) if several else None
    branches: list[dict[str, Translated]] = []
    problems: list[Problem] = []
    of_type: list[bool] = []
    for index, grid in enumerate(grids):
        branches.append({})
        for name in sorted(grid, key=str):
            path = f"space[{index}].{name}" if len(grids) > 1 else f"space.{name}"
            try:
                branches[-1][name] = _translated(name, grid[name], in_order=in_order)
            except (TypeError, ValueError) as error:
                problems.append(Problem(path, str(error)))
                of_type.append(isinstance(error, TypeError))
    if problems:
        raise _refused(problems, of_type=all(of_type))
    for branch in branches:
        _translate_conditions(branch)
    return _joined(branches, names, selector)


def _refused(problems: Sequence[Problem], *, of_type: bool = False) -> SpecError:
    return (SpaceTypeError if of_type else SpecError)(problems, "TuneSearchCV")


def _free(name: str, taken: Sequence[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _shown(value: object) -> str:
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:60] + '…'} ({type(value).__name__})"


# One parameter


@dataclass(frozen=True, slots=True)
class Translated:
    """A parameter of one grid.

    Attributes:
        variants: the parameter as plain data of the spec; several if variants of cloudtune were given.
        decoder: converts a trial's value to the estimator's; None if they are equal.
        listed: whether it was given as a list of values.
    """

    variants: tuple[dict[str, Any], ...]
    decoder: Callable[[Any], Any] | None = None
    listed: bool = False


def _translated(name: object, values: Any, *, in_order: bool) -> Translated:
    if not isinstance(name, str):
        raise TypeError(f"the name of a parameter is a text, not {_shown(name)}")
    if isinstance(values, KINDS):
        return Translated((_data(values),))
    if isinstance(values, Mapping):
        return Translated((dict(values),))
    if isinstance(values, list | tuple) and values and all(isinstance(value, KINDS) for value in values):
        return Translated(tuple(_data(value) for value in values))
    if hasattr(values, "rvs") or hasattr(values, "icdf"):
        return _distribution(values)
    match values:
        case (int() | float() as low, int() | float() as high, "linear" | "log" | "reverse_log" as scale):
            kind = "Int" if isinstance(low, int) and isinstance(high, int) else "Float"
            raise ValueError(
                f"is a list of values here, as in scikit-learn, and {scale!r} would be one of them; "
                f"for a range give cloudtune.{kind}(low={low!r}, high={high!r}, scale={scale!r})"
            )
    if isinstance(values, Sequence | np.ndarray) and not isinstance(values, str | bytes):
        return _list(values, in_order=in_order)
    raise TypeError(f"is {_shown(values)}; {_DISTRIBUTED}; a single value goes into a list with one element")


def _data(parameter: SpecModel) -> dict[str, Any]:
    return parameter.model_dump(mode="json")


# Lists


def _list(values: Any, *, in_order: bool) -> Translated:
    if isinstance(values, np.ndarray) and values.ndim != 1:
        raise ValueError(f"is an array of {values.ndim} dimensions; give one of 1, or a list")
    objects = list(values)
    if not objects:
        raise ValueError("has no values; give at least one")
    plain = [_scalar(value) for value in objects]
    keys: list[Any]
    if None not in plain and len({scalar_key(value[0]) for value in plain if value}) == len(objects):
        keys = [value[0] for value in plain if value]
    else:
        keys = [f"{_label(value)}#{index}" for index, value in enumerate(objects)]
    numbers = all(isinstance(key, int | float) and not isinstance(key, bool) for key in keys)
    arranged = sorted(keys) if numbers and not in_order else keys
    increasing = numbers and len(keys) > 1 and arranged == sorted(keys)
    parameter = (Ordinal if increasing else Categorical)(values=tuple(arranged))
    return Translated((_data_of_list(parameter),), Listed(keys, objects), listed=True)


def _data_of_list(parameter: Ordinal | Categorical) -> dict[str, Any]:
    return {"type": parameter.type, "values": list(parameter.values)}  # keeps null as a value


def _scalar(value: Any) -> tuple[Scalar] | None:
    """Return the value as a scalar of the spec in a tuple; None if the spec cannot hold it."""
    plain = value.item() if isinstance(value, np.bool_ | np.integer | np.floating) else value
    if plain is None or type(plain) in (bool, str):
        return (plain,)
    if type(plain) is int and abs(plain) <= 2**53:
        return (plain,)
    return (plain,) if type(plain) is float and math.isfinite(plain) else None


def _label(value: Any) -> str:
    """Return the text for an object in the values of a trial."""
    if isinstance(value, BaseEstimator):
        return type(value).__name__
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value) if len(repr(value)) <= 40 else type(value).__name__
    return str(getattr(value, "__name__", type(value).__name__))


# Distributions


def _distribution(frozen: Any) -> Translated:
    """Return the parameter with the same distribution, else one for probabilities decoded by the quantile function."""
    quantile = getattr(frozen, "ppf", None) or getattr(frozen, "icdf", None)
    if quantile is None:
        return Translated((_data(Int(low=0, high=_SEEDS)),), Draw(frozen))
    name = getattr(getattr(frozen, "dist", None), "name", "")
    with contextlib.suppress(ValidationError):  # its numbers are out of the parameter's bounds
        for parameter, law in _candidates(name, frozen):
            if _agree(quantile, law):
                return Translated((_data(parameter),))
    whole = isinstance(getattr(frozen, "dist", None), rv_discrete)
    return Translated((_data(Float(low=TAIL, high=1 - TAIL)),), Quantile(frozen, whole=whole))


Law = Callable[[float], float]


def _candidates(name: str, frozen: Any) -> Iterator[tuple[Parameter, Law]]:
    """Yield the parameters that may have the same distribution, by its name, each with its quantile function."""
    if name in ("uniform", "loguniform", "reciprocal", "randint"):
        low, high = (float(end) for end in frozen.support())
        if name == "randint":
            count = high - low + 1
            yield Int(low=int(low), high=int(high)), lambda mass: low + math.ceil(mass * count) - 1
        elif name == "uniform":
            yield Float(low=low, high=high), lambda mass: low + mass * (high - low)
        elif low > 0:
            yield Float(low=low, high=high, scale="log"), lambda mass: low * (high / low) ** mass
    elif name in ("norm", "lognorm"):
        middle, above = (float(frozen.ppf(NormalDist().cdf(deviations))) for deviations in (0.0, 1.0))
        if name == "norm":
            normal = NormalDist(middle, above - middle)
            yield Normal(mean=middle, std=above - middle), normal.inv_cdf
        elif middle > 0:
            mean, std = math.log(middle), math.log(above / middle)
            yield LogNormal(mean=mean, std=std), lambda mass: math.exp(NormalDist(mean, std).inv_cdf(mass))


def _agree(quantile: Law, law: Law) -> bool:
    return all(math.isclose(float(quantile(mass)), law(mass), rel_tol=1e-9, abs_tol=1e-12) for mass in _PROBES)


# Several grids


def _translate_conditions(branch: Mapping[str, Translated]) -> None:
    """Replace list values in the conditions of cloudtune's parameters by their keys."""
    for translated in branch.values():
        for variant in translated.variants:
            for parent, alloweds in (variant.get("when") or {}).items():
                values = alloweds if isinstance(alloweds, list | tuple) else [alloweds]
                decoder = branch[parent].decoder if parent in branch else None
                if isinstance(decoder, Listed):
                    variant["when"][parent] = [decoder.key(value) for value in values]


def _variants(name: str, branches: Sequence[Mapping[str, Translated]]) -> list[tuple[dict[str, Any], list[int]]]:
    """Return the variants of a parameter, each with the indices of its grids; equal variants are merged."""
    found: list[tuple[dict[str, Any], list[int]]] = []
    for index, branch in enumerate(branches):
        for variant in branch[name].variants if name in branch else ():
            alike = next((indices for other, indices in found if _alike(other, variant) and index not in indices), None)
            if alike is None:
                found.append((variant, [index]))
            else:
                alike.append(index)
    return found


def _alike(left: Mapping[str, Any], right: Mapping[str, Any]) -> bool:
    """Return whether two variants are equal, also in the types of their values (to Python, True is equal to 1)."""
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


def _joined(branches: Sequence[Mapping[str, Translated]], names: Sequence[str], selector: str | None) -> SearchSpace:
    entries: dict[str, Any] = {}
    if selector is not None:
        entries[selector] = _data(
            Categorical(values=tuple(range(len(branches)))) if len(branches) > 1 else Constant(value=0)
        )
    for name in names:
        variants = _variants(name, branches)
        if len(branches) > 1:
            variants = [
                ({**variant, "when": {**(variant.get("when") or {}), selector: indices}}, indices)
                for variant, indices in variants
            ]
        entries[name] = variants[0][0] if len(variants) == 1 else [variant for variant, _ in variants]
    decoders = {
        (name, None if selector is None else index): translated.decoder
        for index, branch in enumerate(branches)
        for name, translated in branch.items()
        if translated.decoder is not None
    }
    listed = all(translated.listed for branch in branches for translated in branch.values())
    return SearchSpace(entries, Decoding(decoders, selector), listed)
