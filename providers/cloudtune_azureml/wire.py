"""How a space travels to Azure Machine Learning: which codecs its parameters need, and the expressions of its search space.

Random sampling takes every distribution, but whole numbers from 0 only (randint); Bayesian sampling takes choice,
uniform and quniform; a grid takes choice. A choice among dicts is a branch with parameters of its own. Values come to
a trial as words of its command, so texts that a shell would take apart travel as their index.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from cloudtune.planning.merge_patch import Merging
from cloudtune.space.axes import axis_of
from cloudtune.space.codecs import (
    BellAsUnit,
    Codec,
    LogAsExponent,
    NumberAsText,
    ReverseLogAsExponent,
    SteppedAsInt,
    ValuesAsIndex,
    ValuesAsText,
    codecs_of_texts,
    text_of,
)
from cloudtune.space.parameters import Categorical, Constant, Float, Int, LogNormal, Normal, Ordinal, Parameter, Scalar
from cloudtune.space.space import Space
from cloudtune.space.space_codec import SpaceCodec, Travel
from cloudtune.spec.job import TuningJob
from cloudtune.spec.strategies import Bayesian, Grid
from cloudtune_azureml.rules import MAX_TRIALS

PROVIDER = "azureml"

MERGING = Merging(())
"""How native settings are merged into a job: its lists are replaced."""

Sampling = Literal["random", "grid", "bayesian"]

_SAFE = re.compile(r"[^'\x00-\x1f{}$`\\]*")
"""Texts that come through a shell between single quotes, and are no place and no branch."""

Data = dict[str, Any]


def sampling_of(job: TuningJob) -> Sampling:
    """The service's algorithm for a job."""
    if isinstance(job.strategy, Grid):
        return "grid"
    return "bayesian" if isinstance(job.strategy, Bayesian) else "random"


def helped(job: TuningJob) -> bool:
    """Whether trials start through cloudtune's helper, which decodes parameters and reports what the program prints."""
    return (job.trial.command is not None or job.trial.function is not None) and not starts_itself(job)


def starts_itself(job: TuningJob) -> bool:
    """Whether the native settings say what a trial runs: the user's own way, which stays as it is."""
    trial = job.azureml.get("trial")
    command = trial.get("command") if isinstance(trial, dict) else None
    return isinstance(command, str) and HELPER not in command


HELPER = "cloudtune_trial.py"
"""The trial helper, in the folder of the code."""


# Codecs


def codecs_for(parameter: Parameter, *, sampling: Sampling, plain: bool) -> list[type[Codec]]:
    """The codecs that a parameter needs, the first applied first.

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
        return [NumberAsText] if sampling == "random" and whole_bell(parameter) else [BellAsUnit, NumberAsText]
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


class Branched(SpaceCodec):
    """A space whose conditions the service carries as branches of a choice, as far as each hangs on one category.

    The others are always sampled, and masked in the trial; so are all in Bayesian search, for which nothing says that
    branches are taken, and where the program reads the service's values itself.
    """

    def __init__(self, space: Space, job: TuningJob) -> None:
        sampling, plain = sampling_of(job), not helped(job)
        super().__init__(space, partial(codecs_for, sampling=sampling, plain=plain), legal_names=True)
        branches = sampling != "bayesian" and not plain
        self.parents = {travel.sent_as: self._parent(travel) if branches else None for travel in self.travels}

    def _check(self) -> None:
        """Every space can be carried."""

    def _parent(self, travel: Travel) -> Travel | None:
        """The category in whose branches a parameter stands; None for none."""
        when = travel.dimension.parameter.when or {}
        if len(when) != 1:
            return None
        found = self._named(next(iter(when)))
        if len(found) != 1 or not isinstance(found[0].parameter, Categorical) or _is_fixed(found[0].parameter):
            return None
        inside = self._parent(found[0]) is not None
        return found[0] if inside or not found[0].dimension.parameter.when else None

    def children(self, parent: Travel) -> list[Travel]:
        """What stands in the branches of a category."""
        return [travel for travel in self.travels if self.parents[travel.sent_as] is parent]

    def masked(self, travel: Travel) -> bool:
        """Whether a parameter is sampled where it does not exist."""
        return bool(travel.dimension.parameter.when) and self.parents[travel.sent_as] is None


def codec_of(job: TuningJob) -> Branched:
    """How the job's space travels, whoever reads it: the helper in the trial, and the client."""
    return Branched(Space(_listed(job)), job)


def _listed(job: TuningJob) -> dict[str, Any]:
    """The space; in a grid with lists of values in the place of ranges."""
    if not isinstance(job.strategy, Grid):
        return dict(job.space)
    levels = job.strategy.levels
    return {
        name: tuple(_with_values(each, levels) for each in entry)
        if isinstance(entry, tuple)
        else _with_values(entry, levels)
        for name, entry in job.space.items()
    }


def _with_values(parameter: Parameter, levels: int | None) -> Parameter:
    if isinstance(parameter, Categorical | Constant | Ordinal):
        return parameter
    axis = axis_of(parameter)
    if (axis.size is None and levels is None) or (axis.size or levels or 0) > MAX_TRIALS:
        return parameter
    return Ordinal(values=tuple(dict.fromkeys(axis.grid(levels or 1))), when=parameter.when)


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
    """The search space, with branches."""
    written = Written()
    for travel in codec.travels:
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


def _with_branches(codec: Branched, travel: Travel, sampling: Sampling, written: Written) -> Data:
    """A parameter's expression; a category in which others stand is a choice among dicts."""
    children = [child for child in codec.children(travel) if not _is_fixed(child.parameter)]
    parameter = travel.parameter
    if not children or not isinstance(parameter, Categorical):
        return expression(parameter, sampling)
    branches: list[Any] = []
    for value in parameter.values:
        inside = [child for child in children if value in _condition(travel, child)]
        branch = {child.sent_as: _with_branches(codec, child, sampling, written) for child in inside}
        branches.append({travel.sent_as: value, **branch} if branch else value)
    for child in children:
        written.places.setdefault(child.dimension.name, f"search_space.{travel.sent_as}.values")
    return {"type": "choice", "values": branches}


def _condition(parent: Travel, child: Travel) -> tuple[Scalar, ...]:
    """The parent's values, as they travel, for which a child exists."""
    when = child.dimension.parameter.when
    assert when is not None
    return tuple(map(parent.encode, when[parent.dimension.name]))


def expression(parameter: Parameter, sampling: Sampling) -> Data:
    """The expression of a parameter that varies.

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
