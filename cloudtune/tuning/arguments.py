"""Mistakes in a call of `tune`, told in the words of Python's arguments."""

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from cloudtune.space.parameters import Parameter
from cloudtune.spec.job import TuningJob

_ELSEWHERE = {
    "maximise": 'maximize="METRIC"', "minimise": 'minimize="METRIC"', "n_trials": "trials=N", "num_samples": "trials=N",
    "max_evals": "trials=N", "max_trials": "trials=N", "n_iter": "trials=N", "n_jobs": "parallel=N", "max_workers": "parallel=N",
    "max_concurrent_trials": "parallel=N", "timeout": 'limits={"time": "10m"}', "time": 'limits={"time": "10m"}',
    "max_cost": 'limits={"cost": 50}', "budget": 'limits={"cost": 50}', "seed": 'strategy={"type": "bayesian", "seed": 7}',
    "random_state": 'strategy={"type": "bayesian", "seed": 7}', "sampler": 'strategy="bayesian"', "algo": 'strategy="bayesian"',
    "search_alg": 'strategy="bayesian"', "pruner": 'stopping={"type": "median"}', "scheduler": 'stopping={"type": "asha"}',
    "direction": 'maximize="METRIC" or minimize="METRIC"', "metric": 'maximize="METRIC" or minimize="METRIC"',
    "profile": 'on="PROFILE"', "provider": 'on="PROVIDER"', "callbacks": "watcher=FUNCTION", "verbose": "quiet=True or False",
}  # fmt: skip
"""Arguments of Optuna, Ray Tune, HyperOpt and scikit-learn, or spelt otherwise, and what they are called here."""

_OWN = (
    "maximize",
    "minimize",
    "trials",
    "parallel",
    "strategy",
    "emulate",
    "rehearse",
    "isolate",
    "project",
    "quiet",
    "on_failure",
    "watcher",
)


def check_names(fields: Collection[str], maximize: str | Sequence[str], minimize: str | Sequence[str]) -> None:
    """Raise TypeError for an argument that has another name here, and for a call without an objective."""
    for given in fields:
        if given in TuningJob.model_fields:
            continue
        if given in _ELSEWHERE:
            raise TypeError(f"tune() has no argument {given!r}; write {_ELSEWHERE[given]}")
        if near := get_close_matches(given, _OWN, 1, 0.8):
            raise TypeError(f"tune() has no argument {given!r}; did you mean {near[0]!r}?")
    if not maximize and not minimize and "objective" not in fields:
        raise TypeError('tune() needs maximize="METRIC" or minimize="METRIC": the name of what the function returns')


def check_parameters(function: Callable[..., object], space: Mapping[str, Parameter | tuple[Parameter, ...]]) -> None:
    """Raise TypeError if a function does not take the parameters of a space, or needs others."""
    try:
        taken = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some of those that are written in C say nothing
        return
    name = getattr(function, "__name__", type(function).__name__)
    keywords = [each for each in taken if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
    if not any(each.kind is each.VAR_KEYWORD for each in taken):
        for each in space:
            if each not in {one.name for one in keywords}:
                near = get_close_matches(each, [one.name for one in keywords], 1)
                hint = f"; did you mean {near[0]!r}?" if near else f"; it takes {_list(keywords)}"
                raise TypeError(f"{name}() takes no {each!r}, which is in the space{hint}")
    for one in keywords:
        if one.default is not one.empty:
            continue
        if one.name not in space:
            raise TypeError(
                f"{name}() needs {one.name!r}, which is not in the space; add it there, or give it a default"
            )
        if _is_conditional(space[one.name]):
            raise TypeError(
                f"{name}() needs {one.name!r}, which the space has only under a condition; give it a default"
            )


def _is_conditional(entry: Parameter | tuple[Parameter, ...]) -> bool:
    return not isinstance(entry, tuple) and entry.when is not None


def _list(keywords: list[Any]) -> str:
    return ", ".join(one.name for one in keywords) or "no keywords"
