"""What Azure Machine Learning accepts: the fields of its schemas (see `schema`), and what its documents and SDK add in words.

https://learn.microsoft.com/azure/machine-learning/how-to-tune-hyperparameters (v2), and where that is silent the same
guide for v1; `azure.ai.ml._utils.utils.validate_key_contains_allowed_characters` for names. The SDK checks little of it.
"""

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from cloudtune.errors import nearest
from cloudtune.planning.violations import Violation
from cloudtune_azureml import schema

MAX_TRIALS = 1000
"""max_total_trials and max_concurrent_trials ("The number of concurrent trial jobs … between 1 and 1000")."""

MAX_EXPONENT = 700
"""Of e, in bounds of loguniform: more is no float."""

BAYESIAN = frozenset({"choice", "uniform", "quniform"})
"""Expressions for Bayesian sampling ("Bayesian sampling only supports choice, uniform, and quniform distributions")."""

_NAME = re.compile(r"[a-zA-Z_]+[a-zA-Z0-9_]*")
_REFERENCE = re.compile(r"\$\{\{\s*(search_space|inputs|outputs)\.([^}\s]+?)\s*\}\}")

Data = Mapping[str, Any]


def problems(data: Data) -> list[Violation]:
    """Return every rule that a sweep job or command job breaks; none for one that the service takes, as far as can be known here."""
    kind = schema.CommandJob if data.get("type") == "command" else schema.SweepJob
    try:
        kind.model_validate(data)
    except ValidationError as error:
        return list(dict.fromkeys(_violations(error, data, kind))) or [_first(error, data)]
    return list(_rules(data) if kind is schema.SweepJob else _of_all(data, data.get("command", "")))


# The schema


def _violations(error: ValidationError, data: Data, kind: type[BaseModel]) -> Iterator[Violation]:
    seen: set[str] = set()
    for found in error.errors():
        path, missing = _path(found["loc"], data)
        if missing and found["type"] not in ("missing", "extra_forbidden"):
            continue  # a branch of a union that the data does not follow
        if found["type"] == "extra_forbidden":
            yield Violation(
                path, f"is no field here{_nearest(str(found['loc'][-1]), _beside(found['loc'], data), kind)}"
            )
        elif path not in seen:
            yield Violation(
                path, "must be given" if found["type"] == "missing" else _words(found["msg"], found["input"])
            )
        seen.add(path)


def _first(error: ValidationError, data: Data) -> Violation:
    """Return what is wrong where every mistake is one of a branch of a union that the data may or may not follow."""
    found = error.errors()[0]
    return Violation(_path(found["loc"], data)[0].rpartition(".")[0], _words(found["msg"], None))


def _path(location: tuple[int | str, ...], data: Any) -> tuple[str, bool]:
    """Return the place in the data that a location of pydantic means, and whether it is not there; names of unions are left out."""
    path, missing = "", False
    for number, step in enumerate(location):
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            if number < len(location) - 1 or not isinstance(step, str):
                continue
            missing = True
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else str(step)
    return path, missing


def _words(message: str, value: Any) -> str:
    said = message[:1].lower() + message[1:]
    return f"{said}, not {value!r}" if isinstance(value, str | int | float) else said


def _beside(location: tuple[int | str, ...], data: Any) -> set[str]:
    """Return the keys of the mapping that holds the place of a location of pydantic."""
    for step in location[:-1]:
        with contextlib.suppress(KeyError, IndexError, TypeError):  # a name of a union
            data = data[step]
    return set(data)


def _nearest(name: str, beside: set[str], kind: type[BaseModel]) -> str:
    """Return the end of the message about an unknown key: the nearest field of the node that has most of the keys beside it."""
    fields = [{field.alias or own for own, field in each.model_fields.items()} for each in _nodes(kind)]
    here = max(fields, key=lambda each: len(each & beside))
    near = nearest(name, here)
    return "" if near is None else f"; did you mean {near!r}?"


def _nodes(kind: type[BaseModel]) -> list[type[BaseModel]]:
    return [kind, *schema.Node.__subclasses__(), schema.SweepJob, schema.CommandJob]


# The rules


def _rules(job: Data) -> Iterator[Violation]:
    algorithm = job.get("sampling_algorithm") or "random"
    kind = str(algorithm if isinstance(algorithm, str) else algorithm["type"]).lower()
    yield from _space_rules(job["search_space"], kind)
    yield from _limit_rules(job["limits"])
    if "early_termination" in job and job["early_termination"] is not None:
        yield from _termination_rules(job["early_termination"])
    yield from _of_all(job, job["trial"]["command"])


def _space_rules(space: Data, algorithm: str) -> Iterator[Violation]:
    for name, expression in space.items():
        path = f"search_space.{name}"
        if not _NAME.fullmatch(name):
            yield Violation(path, "a name is of letters, digits and underscores, and begins with no digit")
        yield from _expression_rules(expression, path)
        kind = str(expression["type"]).lower()
        if algorithm == "grid" and kind != "choice":
            yield Violation(f"{path}.type", "a grid takes choice only")
        if algorithm == "bayesian" and kind not in BAYESIAN:
            yield Violation(f"{path}.type", f"Bayesian sampling takes {', '.join(sorted(BAYESIAN))} only")


def _expression_rules(expression: Data, path: str) -> Iterator[Violation]:
    if "min_value" in expression and not expression["min_value"] <= expression["max_value"]:
        yield Violation(f"{path}.min_value", f"{expression['min_value']} is above max_value {expression['max_value']}")
    if "log" in str(expression["type"]).lower() and "min_value" in expression:
        for name in ("min_value", "max_value"):
            if abs(expression[name]) > MAX_EXPONENT:
                message = (
                    f"is an exponent of e, and too large for one: {expression[name]}; give the logarithm of the bound"
                )
                yield Violation(f"{path}.{name}", message)
    for name in ("sigma", "q"):
        if name in expression and expression[name] <= 0:
            yield Violation(f"{path}.{name}", f"must be above 0, not {expression[name]}")
    for index, value in enumerate(expression.get("values", [])):
        for name, inner in value.items() if isinstance(value, Mapping) else ():
            if isinstance(inner, Mapping):
                yield from _expression_rules(inner, f"{path}.values[{index}].{name}")


def _limit_rules(limits: Data) -> Iterator[Violation]:
    for name in ("max_total_trials", "max_concurrent_trials"):
        if limits.get(name) is not None and not 1 <= limits[name] <= MAX_TRIALS:
            yield Violation(f"limits.{name}", f"must lie between 1 and {MAX_TRIALS}, not be {limits[name]}")
    for name in ("timeout", "trial_timeout"):
        if limits.get(name) is not None and limits[name] < 1:
            yield Violation(f"limits.{name}", f"must be 1 second or more, not {limits[name]}")


def _termination_rules(policy: Data) -> Iterator[Violation]:
    kind, path = str(schema.snake(policy["type"])), "early_termination"
    for name, least in (("evaluation_interval", 0), ("delay_evaluation", 0)):
        if policy.get(name) is not None and policy[name] < least:
            yield Violation(f"{path}.{name}", f"must be {least} or more, not {policy[name]}")
    if kind == "truncation_selection" and not 1 <= (policy.get("truncation_percentage") or 0) <= 99:
        yield Violation(f"{path}.truncation_percentage", "must lie between 1 and 99")
    if kind == "bandit" and not policy.get("slack_factor") and not policy.get("slack_amount"):
        yield Violation(path, "a bandit needs slack_factor or slack_amount")


def _of_all(job: Data, command: str) -> Iterator[Violation]:
    yield from _reference_rules(job, command)
    for name, given in (job.get("inputs") or {}).items():
        if not _NAME.fullmatch(name):
            yield Violation(f"inputs.{name}", "a name is of letters, digits and underscores, and begins with no digit")
        if isinstance(given, Mapping) and not (given.get("path") or given.get("value") is not None):
            yield Violation(f"inputs.{name}", "needs a path or a value")
    environment = (job.get("trial") or job).get("environment")
    if isinstance(environment, Mapping) and not (environment.get("image") or environment.get("build")):
        yield Violation("environment", "needs an image or a build")


def _reference_rules(job: Data, command: str) -> Iterator[Violation]:
    """Yield the places in a command, such as ``${{inputs.x}}``, that name nothing (of inputs: the SDK's `validate_inputs_for_command`)."""
    where = "trial.command" if "trial" in job else "command"
    for part, name in dict.fromkeys(_REFERENCE.findall(command)):
        known = job.get(part) or {}
        if name.partition(".")[0] not in known:
            yield Violation(where, f"${{{{{part}.{name}}}}} names nothing; {part} has {', '.join(known) or 'nothing'}")
