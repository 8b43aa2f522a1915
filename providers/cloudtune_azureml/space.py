"""How a space travels to Azure Machine Learning and back: the expressions of a sweep's search space, and the codecs that they need."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from cloudtune.planning.merge_patch import Merging
from cloudtune.space.axes import axis_of
from cloudtune.space.codecs import (
    Codec,
    LogAsExponent,
    NormalAsUnit,
    NumberAsText,
    ReverseLogAsExponent,
    SteppedAsInt,
    ValuesAsIndex,
    ValuesAsText,
    codecs_of_texts,
    text_of,
)
from cloudtune.space.grid import listed_values
from cloudtune.space.parameters import Categorical, Constant, Float, Int, LogNormal, Normal, Ordinal, Parameter, Scalar
from cloudtune.space.space import Space, with_parameters
from cloudtune.space.space_codec import EncodedDimension, Nested
from cloudtune.spec.job import TuningJob
from cloudtune.spec.strategies import Bayesian, Grid
from cloudtune.trial import data_variable
from cloudtune.trial.container import HELPER
from cloudtune_azureml.rules import MAX_TRIALS
from cloudtune_azureml.schema import snake

PROVIDER = "azureml"

MERGING = Merging(())
"""How native settings are merged into a job: its lists are replaced."""

Sampling = Literal["random", "grid", "bayesian"]

_SAFE = re.compile(r"[^'\x00-\x1f{}$`\\]*")
"""Texts that come through a shell between single quotes, and are no place and no branch."""

Data = dict[str, Any]


def sampling_of(job: TuningJob) -> Sampling:
    """Return the service's algorithm for a job."""
    if isinstance(job.strategy, Grid):
        return "grid"
    return "bayesian" if isinstance(job.strategy, Bayesian) else "random"


def helped(job: TuningJob) -> bool:
    """Return whether trials start through cloudtune's helper, which decodes parameters and reports what the program prints."""
    return (job.trial.command is not None or job.trial.function is not None) and not starts_itself(job)


def starts_itself(job: TuningJob) -> bool:
    """Return whether the native settings name the command that a trial runs."""
    trial = job.native_settings("azureml").get("trial")
    command = trial.get("command") if isinstance(trial, dict) else None
    return isinstance(command, str) and HELPER not in command


# Codecs


def codecs_for(parameter: Parameter, *, sampling: Sampling, plain: bool) -> list[type[Codec]]:
    """Return the codecs that a parameter needs, the first applied first.

    Args:
        parameter: of the spec; in a grid, lists of values stand in the place of ranges.
        sampling: the service's algorithm.
        plain: whether the program reads what the service sends, without the helper that decodes it.
    """
    if isinstance(parameter, Constant):
        return codecs_of_texts((parameter.value,))
    if isinstance(parameter, Categorical | Ordinal):
        return _codecs_of_values(parameter.values, plain=plain)
    if plain:
        return [NumberAsText]
    if isinstance(parameter, Normal | LogNormal):
        return [NumberAsText] if sampling == "random" and whole_bell(parameter) else [NormalAsUnit, NumberAsText]
    return [*_codecs_of_range(parameter, sampling), NumberAsText]


def _codecs_of_range(parameter: Int | Float, sampling: Sampling) -> list[type[Codec]]:
    if isinstance(parameter, Int) and parameter.scale == "log" and parameter.step == 1 and sampling == "random":
        return []
    if isinstance(parameter, Int) or parameter.step is not None:
        return [SteppedAsInt]
    if parameter.scale == "reverse_log":
        return [ReverseLogAsExponent]
    return [LogAsExponent] if parameter.scale == "log" and sampling == "bayesian" else []


def _codecs_of_values(values: Sequence[Scalar], *, plain: bool) -> list[type[Codec]]:
    if plain:
        return codecs_of_texts(values)
    codecs = codecs_of_texts(values)
    texts = [value if isinstance(value, str) else "" for value in values]
    if ValuesAsText in codecs:
        texts = [text_of(json.dumps(value, ensure_ascii=False)) for value in values]
    return codecs if all(_SAFE.fullmatch(text) for text in texts) else [ValuesAsIndex, NumberAsText]


def whole_bell(parameter: Normal | LogNormal) -> bool:
    return parameter.low is None and parameter.high is None and parameter.step is None


class Branched(Nested):
    """A space whose conditions the service carries as branches of a choice, as far as each depends on one category.

    In Bayesian search, for which nothing says that branches are taken, and where the program reads the service's values
    itself, no condition is carried.
    """

    def __init__(self, space: Space, job: TuningJob) -> None:
        sampling, plain = sampling_of(job), not helped(job)
        self._branches = sampling != "bayesian" and not plain
        super().__init__(space, partial(codecs_for, sampling=sampling, plain=plain), legal_names=True)

    def _parent(self, encoded: EncodedDimension) -> EncodedDimension | None:
        when = encoded.dimension.parameter.when or {}
        if len(when) != 1 or not self._branches:
            return None
        found = self._named(next(iter(when)))
        if len(found) != 1 or not isinstance(found[0].parameter, Categorical) or _is_fixed(found[0].parameter):
            return None
        inside = self._parent(found[0]) is not None
        return found[0] if inside or not found[0].dimension.parameter.when else None

    def children(self, parent: EncodedDimension) -> list[EncodedDimension]:
        """Return what stands in the branches of a category."""
        return [encoded for encoded in self.encoded_dimensions if self.parents[encoded.sent_as] is parent]


def codec_of(job: TuningJob) -> Branched:
    """Return the codec of a job's space, by which the helper in the trial and the client decode the same values."""
    if not isinstance(job.strategy, Grid):
        return Branched(Space(job.space), job)
    return Branched(Space(with_parameters(job.space, partial(_listed, levels=job.strategy.levels))), job)


def _listed(parameter: Parameter, levels: int | None) -> Parameter:
    """Return a parameter with a list of values in the place of a range."""
    values = listed_values(parameter, levels, MAX_TRIALS)
    return parameter if values is None else Ordinal(values=values, when=parameter.when)


# Expressions


@dataclass(slots=True)
class Written:
    """A space as the service gets it.

    Attributes:
        space: the search space.
        fixed: what does not vary: words of every trial's command, by their names.
        places: where each dimension went, by its name in the spec: a path within the job; "" for a word of the command.
    """

    space: Data = field(default_factory=dict)
    fixed: dict[str, str] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)


def write(codec: Branched, sampling: Sampling) -> Written:
    """Return the search space, with branches."""
    written = Written()
    for travel in codec.encoded_dimensions:
        if _is_fixed(travel.parameter):
            written.fixed[travel.sent_as] = text_of(_only(travel.parameter))
            written.places.setdefault(travel.dimension.name, "")
        elif codec.parents[travel.sent_as] is None:
            written.space[travel.sent_as] = _with_branches(codec, travel, sampling, written)
            written.places.setdefault(travel.dimension.name, f"search_space.{travel.sent_as}")
    return written


def _is_fixed(parameter: Parameter) -> bool:
    if isinstance(parameter, Int | Float):
        return parameter.low == parameter.high
    return isinstance(parameter, Constant) or (
        isinstance(parameter, Categorical | Ordinal) and len(parameter.values) == 1
    )


def _only(parameter: Parameter) -> Scalar:
    match parameter:
        case Int() | Float():
            return parameter.low
        case Categorical() | Ordinal():
            return parameter.values[0]
        case Constant():
            return parameter.value
        case _:
            raise AssertionError(parameter)


def _with_branches(codec: Branched, travel: EncodedDimension, sampling: Sampling, written: Written) -> Data:
    """Return a parameter's expression; a category in which others stand is a choice among dicts."""
    children = [child for child in codec.children(travel) if not _is_fixed(child.parameter)]
    parameter = travel.parameter
    if not children or not isinstance(parameter, Categorical):
        return expression(parameter, sampling)
    branches: list[Any] = []
    for value in parameter.values:
        inside = [child for child in children if value in codec.condition(child)]
        branch = {child.sent_as: _with_branches(codec, child, sampling, written) for child in inside}
        branches.append({travel.sent_as: value, **branch} if branch else value)
    for child in children:
        written.places.setdefault(child.dimension.name, f"search_space.{travel.sent_as}.values")
    return {"type": "choice", "values": branches}


def expression(parameter: Parameter, sampling: Sampling) -> Data:
    """Return the expression of a parameter that varies.

    Args:
        parameter: as it travels.
        sampling: the service's algorithm.
    """
    match parameter:
        case Categorical() | Ordinal():
            return {"type": "choice", "values": list(parameter.values)}
        case Int(scale="log"):
            bottom = parameter.low - 0.5 if parameter.low > 0.5 else parameter.low / 2
            return {"type": "qloguniform", "min_value": math.log(bottom), "max_value": math.log(parameter.high + 0.5), "q": 1}  # fmt: skip
        case Int():
            return _whole(parameter, sampling)
        case Float(scale="log"):
            return {"type": "loguniform", "min_value": math.log(parameter.low), "max_value": math.log(parameter.high)}
        case Float():
            return {"type": "uniform", "min_value": parameter.low, "max_value": parameter.high}
        case Normal() | LogNormal():
            kind = "normal" if isinstance(parameter, Normal) else "lognormal"
            return {"type": kind, "mu": parameter.mean, "sigma": parameter.std}
        case _:
            raise AssertionError(parameter)


def _whole(parameter: Int, sampling: Sampling) -> Data:
    if sampling == "random" and parameter.low == 0 and parameter.step == 1:
        return {"type": "randint", "upper": parameter.high + 1}
    if sampling == "bayesian" or (parameter.high - parameter.low) // (parameter.step or 1) >= MAX_TRIALS:
        return {"type": "quniform", "min_value": parameter.low, "max_value": parameter.high, "q": parameter.step or 1}
    return {"type": "choice", "values": list(range(parameter.low, parameter.high + 1, parameter.step or 1))}


Entry = dict[str, Any]
"""A parameter as the spec writes it."""

_LONGEST = 4096
"""Values of a whole-number range that are listed."""


def space_of(expressions: Mapping[str, Any]) -> dict[str, Any]:
    """Return the space of a sweep; what a spec cannot say of it stays in the native settings."""
    reader = _Reader(frozenset(expressions))
    for name, expression in expressions.items():
        reader.add(name, expression, {})
    return reader.space


class _Reader:
    """Reads expressions, and those in the branches of choices, into one space.

    Args:
        roots: names that parameters of branches cannot have.
    """

    def __init__(self, roots: frozenset[str]) -> None:
        self.space: dict[str, Any] = {}
        self._roots = roots
        self._parents: dict[str, str] = {}

    def add(self, name: str, expression: Mapping[str, Any], when: Entry) -> None:
        """Add a parameter, with what stands in its branches."""
        if snake(expression["type"]) == "choice" and any(isinstance(value, Mapping) for value in expression["values"]):
            self._add_branches(name, expression["values"], when)
        else:
            self._put(name, {**entry_of(expression), **when})

    def _put(self, name: str, entry: Entry) -> None:
        """Add an entry; a parameter that stands in several branches has a variant for each."""
        known = self.space.get(name)
        if known is None:
            self.space[name] = entry
        elif isinstance(known, list):
            known.append(entry)
        else:
            self.space[name] = [known, entry]

    def _add_branches(self, name: str, branches: list[Any], when: Entry) -> None:
        """Return a choice among dicts: a category whose values name the branches, and what stands in them under a condition."""
        labels = [_label(name, branch, index) for index, branch in enumerate(branches)]
        self._put(name, {"type": "categorical", "values": labels, **when})
        for label, branch in zip(labels, branches, strict=True):
            for child, inner in branch.items() if isinstance(branch, Mapping) else ():
                if child not in (name, "name") or isinstance(inner, Mapping):
                    expression = inner if isinstance(inner, Mapping) else {"type": "choice", "values": [inner]}
                    self.add(self._free(child, name), expression, {"when": {name: [label]}})

    def _free(self, child: str, parent: str) -> str:
        """Return a name for a parameter of a branch: its own, unless another choice or the whole space has it."""
        while child in self._roots or self._parents.setdefault(child, parent) != parent:
            child = f"{parent}_{child}"
        return child


def _label(name: str, branch: Any, index: int) -> Any:
    """Return the label of a branch: the value itself, its member ``name`` or that of the choice's own name, or by its number."""
    if not isinstance(branch, Mapping):
        return branch
    label = branch.get(name, branch.get("name"))
    return label if isinstance(label, str | int | float) else f"branch {index}"


def entry_of(expression: Mapping[str, Any]) -> Entry:
    """Return a parameter from an expression without branches."""
    kind = snake(expression["type"])
    if kind == "choice":
        return {"type": "categorical", "values": list(expression["values"])}
    if kind == "randint":
        return {"type": "int", "low": 0, "high": expression["upper"] - 1}
    if "mu" in expression:
        return _bell(str(kind), expression)
    return _range(str(kind), expression)


def _bell(kind: str, expression: Mapping[str, Any]) -> Entry:
    log, mean, std = "log" in kind, expression["mu"], expression["sigma"]
    entry = {"type": "lognormal" if log else "normal", "mean": mean, "std": std}
    if "q" not in expression:
        return entry
    bell = LogNormal if log else Normal
    try:
        axis_of(bell(mean=mean, std=std, step=expression["q"]))
    except ValueError:
        return entry  # a step that is too fine for the distribution
    return {**entry, "step": expression["q"]}


def _range(kind: str, expression: Mapping[str, Any]) -> Entry:
    low, high = expression["min_value"], expression["max_value"]
    log = "log" in kind
    if log:
        low, high = _exp(low), _exp(high)
    q = expression.get("q")
    if q is None:
        return {"type": "float", "low": low, "high": high, **({"scale": "log"} if log else {})}
    first, last = _multiple(low, q), _multiple(high, q)
    if log and first <= 0:
        first = q
    whole = all(float(number).is_integer() for number in (first, last, q))
    entry: Entry = {"type": "int", "low": int(first), "high": int(last)} if whole else {"type": "float", "low": first, "high": last}  # fmt: skip
    step = {} if whole and q == 1 else {"step": int(q) if whole else q}
    return {**entry, **step, **({"scale": "log"} if log else {})}


def _exp(value: float) -> float:
    """Return e to the power of a value, rounded to 12 digits, so that exp(ln 0.1) is 0.1."""
    return float(f"{math.exp(value):.12g}")


def _multiple(value: float, q: float) -> float:
    return float(f"{round(value / q) * q:.12g}")


def names_in(expressions: Mapping[str, Any]) -> Iterator[str]:
    """Yield all names of a search space, also those in the branches of choices."""
    for name, expression in expressions.items():
        yield name
        values = expression.get("values") if isinstance(expression, Mapping) else None
        for value in values or ():
            if isinstance(value, Mapping):
                yield from names_in(value)


# Commands

_PLACE = re.compile(r"\$\{\{\s*(search_space|inputs|outputs)\.([\w.]+?)\s*\}\}|(?<!\$)\{search_space\.(\w+)\}")


def with_names(command: str, renamed: Mapping[str, str]) -> str:
    """Return a command with renamed parameters in its ``${{search_space.NAME}}`` places."""
    for name in sorted(renamed, key=len, reverse=True):
        place = rf"(\{{\s*search_space\.){re.escape(name)}(\s*\}})"
        command = re.sub(place, lambda found, new=renamed[name]: f"{found[1]}{new}{found[2]}", command)  # type: ignore[misc]
    return command


def command_of(command: str, inputs: Mapping[str, Any]) -> str:
    """Return a neutral command: parameters as ``{name}``, data by the variables of the trial, values as they are."""

    def put(found: re.Match[str]) -> str:
        part, name = found[1] or "search_space", found[2] or found[3]
        if part == "search_space":
            return f"{{{name}}}"
        if part == "outputs":
            return "$CLOUDTUNE_OUTPUT_DIR"
        given = inputs.get(name)
        value = given.get("value") if isinstance(given, Mapping) else given
        if value is not None:
            return value if isinstance(value, str) else json.dumps(value)
        return f"${data_variable(name)}"

    return _PLACE.sub(put, command)
