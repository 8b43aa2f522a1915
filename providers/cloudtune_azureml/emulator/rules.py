"""What the service refuses of a job that can be read.

From "Hyperparameter tuning a model (v2)" (https://learn.microsoft.com/azure/machine-learning/how-to-tune-hyperparameters),
"CLI (v2) sweep job YAML schema" and "CLI (v2) command job YAML schema"; problems are named by the fields of the latter two.
"""

import math
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from cloudtune.emulation.refused import Refused
from cloudtune_azureml.emulator.model import Job, Place, Program, Sweep

Found = Iterator[tuple[str, str]]
"""Paths and what is wrong there."""

_MOST_TRIALS = 1000
""""max_total_trials: … must be an integer between 1 and 1000"; the same of max_concurrent_trials."""

_NUMBERS = {
    "uniform": ("min_value", "max_value"),
    "loguniform": ("min_value", "max_value"),
    "quniform": ("min_value", "max_value", "q"),
    "qloguniform": ("min_value", "max_value", "q"),
    "normal": ("mu", "sigma"),
    "lognormal": ("mu", "sigma"),
    "qnormal": ("mu", "sigma", "q"),
    "qlognormal": ("mu", "sigma", "q"),
    "randint": ("upper",),
}
"""The settings of each distribution, but of choice."""

_BAYESIAN = ("choice", "uniform", "quniform")
""""Bayesian sampling only supports choice, uniform, and quniform distributions over the search space."."""

_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_NAMED = re.compile(r"\$\{\{\s*(search_space|inputs|outputs)\.([^}\s.]+)[^}\s]*\s*\}\}")


def check(job: Job) -> None:
    """Refuse a job that breaks a rule.

    Raises:
        Refused: says all that is wrong with it.
    """
    found = [*_of_program(job), *(() if job.sweep is None else _of_sweep(job.sweep))]
    if found:
        said = "; ".join(f"{path}: {message}" for path, message in found)
        raise Refused(400, "UserError", f"The request is invalid: {said}")


def _of_program(job: Job) -> Found:
    program: Program = job.program
    where = "" if job.sweep is None else "trial."
    if not isinstance(program.command, str) or not program.command:
        yield f"{where}command", "must be given"
        return
    if not program.environment:
        yield f"{where}environment", "must be given"
    for name, given in program.inputs.items():
        if not _NAME.fullmatch(name):
            yield f"inputs.{name}", "a name is of letters, digits and underscores, and begins with no digit"
        if given is None or (isinstance(given, Place) and not given.path):
            yield f"inputs.{name}", "needs a path or a value"
    known: Mapping[str, Mapping[str, Any]] = {
        "search_space": {} if job.sweep is None else job.sweep.space,
        "inputs": program.inputs,
        "outputs": {**program.outputs, "default": None},
    }
    for part, name in dict.fromkeys(_NAMED.findall(program.command)):
        if name not in known[part]:
            yield f"{where}command", f"${{{{{part}.{name}}}}} names nothing that the job has"
    if job.sweep is None and program.timeout is not None and program.timeout < 1:
        yield "limits.timeout", f"must be 1 second or more, not {program.timeout}"


def _of_sweep(sweep: Sweep) -> Found:
    if not sweep.space:
        yield "search_space", "must have a parameter"
    for name, distribution in sweep.space.items():
        path = f"search_space.{name}"
        if not _NAME.fullmatch(name):
            yield path, "a name is of letters, digits and underscores, and begins with no digit"
        yield from _of_distribution(distribution, path)
        if sweep.sampling.type == "grid" and distribution.type != "choice":
            yield f"{path}.type", "a grid takes choice only"
        if sweep.sampling.type == "bayesian" and distribution.type not in _BAYESIAN:
            yield f"{path}.type", f"Bayesian sampling takes {', '.join(_BAYESIAN)} only"
    if sweep.goal not in ("minimize", "maximize"):
        yield "objective.goal", f"must be minimize or maximize, not {sweep.goal!r}"
    if not sweep.metric:
        yield "objective.primary_metric", "must be given"
    seed = getattr(sweep.sampling, "seed", None)
    if seed is not None and not _is_whole(seed):
        yield "sampling_algorithm.seed", f"must be a whole number, not {seed!r}"
    yield from _of_limits(sweep.limits)
    if sweep.policy is not None:
        yield from _of_policy(sweep.policy)


def _of_distribution(distribution: Any, path: str) -> Found:
    if distribution.type == "choice":
        if not distribution.values:
            yield f"{path}.values", "must hold a value"
        for index, branch in enumerate(distribution.values or ()):
            for name, inner in branch.items() if isinstance(branch, Mapping) else ():
                if hasattr(inner, "type"):  # any other value stands for itself
                    yield from _of_distribution(inner, f"{path}.values[{index}].{name}")
        return
    given = {name: getattr(distribution, name) for name in _NUMBERS[distribution.type]}
    wrong = [name for name, value in given.items() if not _is_number(value)]
    yield from ((f"{path}.{name}", f"must be a number, not {given[name]!r}") for name in wrong)
    if not wrong:
        yield from _of_numbers(distribution.type, given, path)


def _of_numbers(kind: str, given: Mapping[str, float], path: str) -> Found:
    if "min_value" in given and given["min_value"] > given["max_value"]:
        yield f"{path}.min_value", f"{given['min_value']} is above max_value {given['max_value']}"
    for name in ("min_value", "max_value"):
        if "log" in kind and name in given and not _has_power(given[name]):
            message = f"is an exponent of e, and too large for one: {given[name]}; give the logarithm of the bound"
            yield f"{path}.{name}", message
    for name in ("sigma", "q"):
        if name in given and given[name] <= 0:
            yield f"{path}.{name}", f"must be above 0, not {given[name]}"
    if "upper" in given and (given["upper"] < 1 or given["upper"] != int(given["upper"])):
        yield f"{path}.upper", f"must be a whole number above 0, not {given['upper']}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and _is_number(value)


def _has_power(exponent: float) -> bool:
    """Return whether e to the power is a float above 0."""
    try:
        return math.exp(exponent) > 0
    except OverflowError:
        return False


def _of_limits(limits: Any) -> Found:
    if limits is None or limits.max_total_trials is None:
        yield "limits.max_total_trials", "must be given"
        return
    for name in ("max_total_trials", "max_concurrent_trials"):
        value = getattr(limits, name)
        if value is not None and not (_is_whole(value) and 1 <= value <= _MOST_TRIALS):
            yield f"limits.{name}", f"must lie between 1 and {_MOST_TRIALS}, not be {value}"
    for name in ("timeout", "trial_timeout"):
        value = getattr(limits, name)
        if value is not None and value < 1:
            yield f"limits.{name}", f"must be 1 second or more, not {value}"


def _of_policy(policy: Any) -> Found:
    whole = ("evaluation_interval", "delay_evaluation", "truncation_percentage")
    given = {name: getattr(policy, name, None) for name in (*whole, "slack_factor", "slack_amount")}
    wrong = {n: v for n, v in given.items() if v is not None and not (_is_whole if n in whole else _is_number)(v)}
    yield from ((f"early_termination.{name}", f"must be a number, not {value!r}") for name, value in wrong.items())
    if wrong:
        return
    for name in ("evaluation_interval", "delay_evaluation"):
        if (getattr(policy, name) or 0) < 0:
            yield f"early_termination.{name}", f"must be 0 or more, not {getattr(policy, name)}"
    if policy.type == "truncation_selection" and not 1 <= (policy.truncation_percentage or 0) <= 99:
        yield "early_termination.truncation_percentage", "must lie between 1 and 99"
    if policy.type == "bandit" and not policy.slack_factor and not policy.slack_amount:
        yield "early_termination", "a bandit needs slack_factor or slack_amount"
