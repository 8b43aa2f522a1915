"""Conversion between Katib's parameters and cloudtune's.

The meaning of a distribution is that of Katib's services: HyperOpt's (algorithms ``random`` and ``tpe``,
pkg/suggestion/v1beta1/hyperopt/base_service.py) supports all distributions, Optuna's (``grid`` and
``multivariate-tpe``) the uniform ones, the other services none: skopt's (``bayesianoptimization``) takes every double as
log-uniform.
"""

import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from cloudtune.interop.formats import Note
from cloudtune.interop.katib.model import FeasibleSpace, ParameterSpec, number_of
from cloudtune.planning.plan import Support
from cloudtune.space.axes import SIGNIFICANT_DIGITS
from cloudtune.space.codecs import text_of
from cloudtune.space.parameters import Categorical, Constant, Float, Int, LogNormal, Normal, Ordinal, Parameter

WITH_NORMALS = frozenset({"random", "tpe"})
"""Algorithms that support all distributions."""

WITH_LOGS = WITH_NORMALS | {"grid", "multivariate-tpe"}
"""Algorithms that support log-uniform distributions."""

BY_LOGARITHM = "bayesianoptimization"
"""The algorithm that takes every double as log-uniform (pkg/suggestion/v1beta1/skopt/base_service.py)."""

DEVIATIONS = 6
"""Standard deviations between the bounds of a normal parameter, whose mean is in the middle."""

Entry = dict[str, Any]
"""A parameter as plain data of the spec."""


def entry_of(parameter: ParameterSpec) -> Entry:
    """Return a parameter as plain data of the spec; `notes_of` has the differences."""
    space = parameter.feasible_space
    if parameter.parameter_type == "categorical":
        return {"type": "categorical", "values": list(space.list)}
    if parameter.parameter_type == "discrete":
        return _discrete(space)
    if space.distribution in ("normal", "logNormal"):
        return _normal(space, whole=parameter.parameter_type == "int")
    return _range(space, whole=parameter.parameter_type == "int")


def _discrete(space: FeasibleSpace) -> Entry:
    numbers = [number_of(text) for text in space.list]
    if None in numbers or len(set(numbers)) < len(numbers):
        return {"type": "categorical", "values": list(space.list)}
    return {"type": "ordinal", "values": sorted(number for number in numbers if number is not None)}


def _range(space: FeasibleSpace, *, whole: bool) -> Entry:
    low, high, step = (None if text is None else number_of(text) for text in (space.min, space.max, space.step))
    assert low is not None
    assert high is not None
    log = space.distribution == "logUniform"
    kind = int if whole else float
    if log:
        low = max(low, _lowest(whole=whole))
    given = {"type": "int" if whole else "float", "low": kind(low), "high": kind(high)}
    stepped = {} if step is None or (whole and step == 1) else {"step": kind(step)}
    return {**given, **stepped, **({"scale": "log"} if log else {})}


def _lowest(*, whole: bool) -> int | float:
    """Return the least lower bound of a log-uniform parameter in Katib's Optuna service."""
    return 1 if whole else 1e-10


def _normal(space: FeasibleSpace, *, whole: bool) -> Entry:
    assert space.min is not None
    assert space.max is not None
    log = space.distribution == "logNormal"
    low, high = (Decimal(repr(math.log(float(text)) if log else float(text))) for text in (space.min, space.max))
    step = 1.0 if whole and space.step is None else None if space.step is None else float(space.step)
    return {
        "type": "lognormal" if log else "normal",
        "mean": float((low + high) / 2),
        "std": float((high - low) / DEVIATIONS),
        **({} if step is None else {"step": step}),
    }


def notes_of(parameter: ParameterSpec, path: str, algorithm: str) -> Iterator[Note]:
    """Yield notes on how the parameter of the job differs from Katib's."""
    space = parameter.feasible_space
    here = f"{path}.feasibleSpace"
    if parameter.parameter_type == "discrete":
        entry = _discrete(space)
        if entry["type"] == "categorical":
            yield Note(f"{here}.list", "holds more than different numbers: it becomes categorical")
        elif [number_of(text) for text in space.list] != entry["values"]:
            yield Note(f"{here}.list", "an ordinal parameter's numbers stand in their order")
    if space.distribution == "logUniform" and float(space.min or 0) <= 0:
        low = _lowest(whole=parameter.parameter_type == "int")
        yield Note(f"{here}.min", f"a logarithm needs numbers above 0: begins at {low}, as in Katib")
    if space.distribution in ("normal", "logNormal"):
        yield Note(
            f"{here}.distribution",
            "Katib's bounds say mean ± 3 standard deviations and cut nothing off; set low and high for a cut",
        )
        if parameter.parameter_type == "int":
            yield Note(f"{path}.parameterType", "is a number without fraction here, such as 3.0: round it in the trial")
    elif space.step and algorithm in WITH_NORMALS and not _multiple(float(space.min or 0), float(space.step)):
        yield Note(f"{here}.step", _MULTIPLES.format(algorithm=algorithm))
    known = WITH_LOGS if space.distribution == "logUniform" else WITH_NORMALS
    if space.distribution not in (None, "uniform") and algorithm not in known:
        yield Note(f"{here}.distribution", f"Katib's {algorithm} does not heed it; here it is as it is written")


_MULTIPLES = "Katib's {algorithm} rounds to multiples of the step, here values are the lowest plus multiples of it"


def _multiple(value: float, step: float) -> bool:
    return math.isclose(value / step, round(value / step), abs_tol=1e-9)


# From cloudtune to Katib


def spec_of(name: str, parameter: Parameter, levels: int | None = None) -> dict[str, Any]:
    """Return a parameter of an experiment; `losses` has the differences.

    Args:
        name: Katib's name of the parameter.
        parameter: any parameter but a constant.
        levels: the number of grid values of a float parameter without a step; None for no grid.
    """
    kind, space = _written(parameter, levels)
    return {"name": name, "parameterType": kind, "feasibleSpace": space}


def _written(parameter: Parameter, levels: int | None) -> tuple[str, dict[str, Any]]:
    match parameter:
        case Categorical():
            return "categorical", {"list": [text_of(value) for value in parameter.values]}
        case Ordinal():
            texts = any(isinstance(value, str) for value in parameter.values)
            return "categorical" if texts else "discrete", {"list": [text_of(value) for value in parameter.values]}
        case Normal() | LogNormal():
            return "double", _bounds_of(parameter)
        case Int() | Float():
            step = parameter.step
            if step is None and levels is not None and levels > 1:
                step = _short((parameter.high - parameter.low) / (levels - 1))
            return "int" if isinstance(parameter, Int) else "double", {
                "min": text_of(parameter.low),
                "max": text_of(parameter.high),
                **({} if step is None or (isinstance(parameter, Int) and step == 1) else {"step": text_of(step)}),
                **({"distribution": "logUniform"} if parameter.scale == "log" else {}),
            }
        case _:
            raise TypeError(f"no parameter of Katib for {parameter!r}")


def _bounds_of(parameter: Normal | LogNormal) -> dict[str, str]:
    log = isinstance(parameter, LogNormal)
    mean, deviation = Decimal(repr(parameter.mean)), Decimal(repr(parameter.std)) * DEVIATIONS / 2
    low, high = (math.exp(end) if log else float(end) for end in (mean - deviation, mean + deviation))
    size = 0.0 if log else max(abs(low), abs(high))
    step = {} if parameter.step is None else {"step": text_of(parameter.step)}
    return {
        "min": text_of(_short(low, size)),
        "max": text_of(_short(high, size)),
        **step,
        "distribution": "logNormal" if log else "normal",
    }


def _short(value: float, size: float = 0.0) -> float:
    """Return a number rounded to the significant digits of numbers of its size, or of `size` if that is larger."""
    size = max(abs(value), size)
    return round(value, SIGNIFICANT_DIGITS - math.ceil(math.log10(size))) if size else value


Loss = tuple[str, Support, str]
"""A path below a parameter, its support, and a message."""


def losses(parameter: Parameter, algorithm: str, levels: int | None) -> Iterator[Loss]:
    """Yield what an experiment cannot express of a parameter, or its algorithm ignores."""
    if parameter.when:
        yield ".when", Support.UNSUPPORTED, "Katib has no conditions; give each branch a job of its own"
    match parameter:
        case Categorical() | Ordinal():
            yield from _losses_of_values(parameter)
        case Float() | Int():
            yield from _losses_of_range(parameter, algorithm, levels)
        case Normal() | LogNormal():
            yield from _losses_of_normal(parameter, algorithm)
        case Constant():
            yield "", Support.ENCODED, "stands in the trial's command itself"


def _losses_of_values(parameter: Categorical | Ordinal) -> Iterator[Loss]:
    texts = [text_of(value) for value in parameter.values]
    if len(set(texts)) < len(texts):
        message = "two values are the same text for a trial there, such as 1 and '1'; keep one of them"
        yield ".values", Support.UNSUPPORTED, message
    if isinstance(parameter, Ordinal) and (parameter.scale != "linear" or isinstance(parameter.values[0], str)):
        yield "", Support.APPROXIMATE, "Katib's services take listed values as categories, without order and scale"


def _losses_of_range(parameter: Float | Int, algorithm: str, levels: int | None) -> Iterator[Loss]:
    if parameter.scale == "reverse_log":
        yield ".scale", Support.APPROXIMATE, "Katib has no such scale: values are drawn uniformly"
    if algorithm == BY_LOGARITHM and isinstance(parameter, Float):
        yield from _losses_by_logarithm(parameter)
    elif parameter.scale == "log" and algorithm not in WITH_LOGS:
        message = f"Katib's {algorithm} draws evenly whatever the distribution; random, tpe and grid heed it"
        yield ".scale", Support.APPROXIMATE, message
    if parameter.step is not None and algorithm in WITH_NORMALS and not _multiple(parameter.low, parameter.step):
        yield ".step", Support.APPROXIMATE, _MULTIPLES.format(algorithm=algorithm)
    endless = isinstance(parameter, Float) and parameter.step is None
    if algorithm == "grid" and endless and (levels is None or parameter.scale != "linear"):
        yield ".step", Support.UNSUPPORTED, "a grid of Katib takes steps of equal width; give the parameter a step"


def _losses_by_logarithm(parameter: Float) -> Iterator[Loss]:
    said = f"Katib's {BY_LOGARITHM} draws reals by their logarithm, whatever the distribution"
    if parameter.low <= 0:
        yield (
            ".low",
            Support.APPROXIMATE,
            f"{said}, and 0 has none, so that it fails: begin above it, or use strategy hyperopt or random",
        )
    elif parameter.scale != "log":
        yield ".scale", Support.APPROXIMATE, said
    if parameter.step is not None:
        yield ".step", Support.APPROXIMATE, f"Katib's {BY_LOGARITHM} heeds no step of reals"


def _losses_of_normal(parameter: Normal | LogNormal, algorithm: str) -> Iterator[Loss]:
    if algorithm not in WITH_NORMALS:
        message = f"Katib's {algorithm} has no normal numbers; use float, or strategy random or hyperopt"
        yield "", Support.UNSUPPORTED, message
    for key in ("low", "high"):
        if getattr(parameter, key) is not None:
            yield f".{key}", Support.APPROXIMATE, "Katib does not cut a normal distribution off"
