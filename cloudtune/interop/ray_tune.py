"""Conversion of Ray Tune's search spaces (ray.tune.search.sample) to cloudtune's."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from ray.tune.search import sample

from cloudtune.interop import build, plain, stepped
from cloudtune.interop.formats import Note
from cloudtune.space.parameters import Categorical, Constant, Float, Int, Normal, Parameter

_GRID = "grid_search"

_RARE_ENDS = "the first and the last multiple of q are drawn less often there, here as often as others"


def space_from_ray_tune(space: Mapping[str, Any], notes: list[Note] | None = None) -> dict[str, Parameter]:
    """Return the parameters of a ``param_space`` of Ray Tune.

    A parameter is named by its keys and indices joined by dots: ``{"net": {"lr": tune.loguniform(…)}}`` becomes
    ``net.lr``. Plain values become `Constant`. ``choice`` and ``grid_search`` become `Categorical`; see `grid_names`
    for the latter.

    ``uniform``, ``loguniform``, ``randn``, ``randint``, ``qrandint`` and ``choice`` keep their distributions; upper
    bounds that Ray excludes are excluded, so that ``randint(1, 9)`` becomes the range from 1 to 8. The others differ:

    - ``quniform``, ``qloguniform``, and in Ray before 2.60 ``qrandint``, round, so that the first and the last multiple of q are drawn less often than
      others. Here all are equally likely (or each as likely as its interval is wide on the log scale).
    - ``lograndint``, ``qlograndint`` round downwards, which favours small numbers a little more than here.
    - ``qrandn`` is a float that is a multiple of q.

    Args:
        space: a ``param_space`` of Ray Tune.
        notes: extended by a note for each parameter that differs.

    Raises:
        ValueError: a value is computed (``sample_from``), or is not valid in a spec; the message names it.
    """
    found: dict[str, Parameter] = {}
    for name, value in _walk(space, ""):
        if name in found:
            raise ValueError(f"{name}: two parameters would have this name; rename one of the keys with a dot")
        found[name] = _parameter(name, value)
        if notes is not None and (message := _difference(value)):
            notes.append(Note(name, message))
    return found


def _difference(value: Any) -> str:
    """Return how draws of the parameter differ from Ray's, for a note; "" if they do not."""
    if not isinstance(value, sample.Integer | sample.Float):
        return ""
    sampler, q = _drawn(value)
    if isinstance(value, sample.Float):
        return _RARE_ENDS if q is not None and not isinstance(sampler, sample.Normal) else ""
    if q not in (None, 1.0) and not hasattr(sample.Quantized, "_grid_index"):  # Ray before 2.60
        return _RARE_ENDS
    log = isinstance(sampler, sample.LogUniform)
    return "Ray rounds downwards, which favours small numbers a little more than here" if log else ""


def grid_names(space: Mapping[str, Any]) -> list[str]:
    """Return the names of the parameters of which Ray tries every value (``grid_search``)."""
    return [name for name, value in _walk(space, "") if _grid_values(value) is not None]


def flat(point: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a config of Ray Tune by the names that its space's parameters have here."""
    return {name: plain(name, value) for name, value in _walk(point, "")}


def _walk(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield each leaf of a space with its name; as in Ray, dicts and lists are searched (variant_generator.py)."""
    if isinstance(value, Mapping) and _grid_values(value) is None:
        for key, part in value.items():
            yield from _walk(part, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and any(isinstance(part, sample.Domain | Mapping | list) for part in value):
        for index, part in enumerate(value):
            yield from _walk(part, f"{path}.{index}" if path else str(index))
    else:
        yield path or "value", value


def _grid_values(value: Any) -> list[Any] | None:
    """Return the values of a grid search; None for anything else."""
    if isinstance(value, Mapping) and set(value) == {_GRID} and isinstance(value[_GRID], list | tuple):
        return list(value[_GRID])
    is_grid = isinstance(value, sample.Categorical) and isinstance(value.sampler, sample.Grid)
    return list(value.categories) if is_grid else None


def _parameter(name: str, value: Any) -> Parameter:
    listed = _grid_values(value)
    if listed is not None:
        return _listed(name, listed)
    match value:
        case sample.Categorical():
            return _listed(name, value.categories)
        case sample.Integer():
            return _whole(name, value)
        case sample.Float():
            return _real(name, value)
        case sample.Domain():
            raise ValueError(f"{name}: it is computed (sample_from); name its draws, and compute in the trial")
        case _:
            return build(Constant, name, value=plain(name, value))


def _listed(name: str, values: list[Any]) -> Parameter:
    return build(Categorical, name, values=tuple(plain(name, value) for value in values))


def _drawn(domain: Any) -> tuple[Any, float | None]:
    """Return the sampler of a domain, and the q to whose multiples draws are rounded (None for none)."""
    sampler = domain.sampler
    if isinstance(sampler, sample.Quantized):
        return sampler.sampler, float(sampler.q)
    return sampler, None


def _whole(name: str, domain: Any) -> Parameter:
    sampler, q = _drawn(domain)
    scale = "log" if isinstance(sampler, sample.LogUniform) else "linear"
    if q is None or q == 1:  # "``upper`` is also inclusive except for ``q=1`` where it's exclusive"
        return build(Int, name, low=domain.lower, high=domain.upper - 1, scale=scale)
    first, last = math.ceil(domain.lower / q), math.floor(domain.upper / q)
    return build(Int, name, low=round(first * q), high=round(last * q), step=round(q), scale=scale)


def _real(name: str, domain: Any) -> Parameter:
    sampler, q = _drawn(domain)
    if isinstance(sampler, sample.Normal):
        return build(Normal, name, mean=sampler.mean, std=sampler.sd, step=q)
    scale = "log" if isinstance(sampler, sample.LogUniform) else "linear"
    if q is not None:
        return stepped(name, domain.lower, domain.upper, q, scale, whole=False)
    return build(Float, name, low=domain.lower, high=domain.upper, scale=scale)
