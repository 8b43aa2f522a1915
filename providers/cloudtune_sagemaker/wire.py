"""How a space travels to SageMaker: which codecs its parameters need, and the ranges that the service gets.

The service takes texts alone: whole and real numbers on linear, logarithmic and reverse logarithmic scales, and
categories (API reference, ParameterRanges). A parameter with a single value is no range there: it goes to the static
hyperparameters.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from cloudtune.planning.merge_patch import Merging
from cloudtune.space.axes import axis_of
from cloudtune.space.codecs import (
    BellAsUnit,
    Codec,
    NumberAsText,
    SteppedAsInt,
    ValuesAsIndex,
    codecs_of_texts,
    text_of,
)
from cloudtune.space.parameters import (
    Categorical,
    Constant,
    Float,
    Int,
    LogNormal,
    Normal,
    Ordinal,
    Parameter,
    Scalar,
    same_scalar,
)
from cloudtune.space.space import Space
from cloudtune.space.space_codec import Flattened, SpaceCodec, Travel
from cloudtune.spec.job import TuningJob
from cloudtune.spec.strategies import Bayesian, Grid, Random
from cloudtune_sagemaker.rules import MAX_PARAMETERS, MAX_TEXT, MAX_VALUES

CONFIG = "HyperParameterTuningJobConfig"
"""The member of a request that says what is searched, and how far."""

DEFINITION = "TrainingJobDefinition"
"""The member of a request that says what a trial is; with an s where there are several."""

MERGING = Merging(("Name", "ChannelName", "Key", "DefinitionName", "InstanceGroupName", "HyperParameterTuningJobName"))
"""How native settings are merged into a request: these members of botocore's structures tell the items of lists apart."""

PROGRAM = "sagemaker_program"
"""The static hyperparameter by which the training toolkit knows what to start."""

MAX_DEFINITIONS = 10
"""Training job definitions of a tuning job (botocore: HyperParameterTrainingJobDefinitions)."""

_SCALES = {"linear": "Linear", "log": "Logarithmic", "reverse_log": "ReverseLogarithmic"}


@dataclass(frozen=True, slots=True)
class Branch:
    """What one training job definition searches.

    Attributes:
        name: the definition's; "" where it is the only one.
        ranges: ParameterRanges.
        static: hyperparameters that do not vary in it.
        places: where the dimensions went, by their names in the spec: paths within the ranges, or of a static one.
    """

    name: str
    ranges: dict[str, list[dict[str, Any]]]
    static: dict[str, str]
    places: dict[str, str] = field(default_factory=dict)


def helped(job: TuningJob) -> bool:
    """Whether trials start through cloudtune's helper, which decodes parameters before the user's code sees them."""
    return (job.trial.command is not None or job.trial.function is not None) and not starts_itself(job)


def starts_itself(job: TuningJob) -> bool:
    """Whether the native settings say what the training toolkit starts: the user's own way, which stays as it is."""
    one, several = job.sagemaker.get(DEFINITION), job.sagemaker.get(f"{DEFINITION}s")
    definitions = [one, *(several if isinstance(several, list) else ())]
    static = [each.get("StaticHyperParameters") for each in definitions if isinstance(each, dict)]
    return any(isinstance(each, dict) and each.get(PROGRAM) is not None for each in static)


# Codecs


def codecs_for(parameter: Parameter, *, plain: bool) -> list[type[Codec]]:
    """The codecs that a parameter needs, the first applied first.

    Args:
        parameter: of the spec.
        plain: whether the program reads what the service sends, without the helper that decodes it.
    """
    match parameter:
        case Int() | Float():
            stepped = (
                parameter.step is not None and parameter.step != 1 if isinstance(parameter, Int) else parameter.step
            )
            return [SteppedAsInt, NumberAsText] if stepped and not plain else [NumberAsText]
        case Normal() | LogNormal():
            return [BellAsUnit, NumberAsText]
        case Ordinal():
            return codecs_of_texts(parameter.values) if plain else [ValuesAsIndex, NumberAsText]
        case Categorical():
            fits = len(parameter.values) <= MAX_VALUES and all(
                len(text_of(value)) <= MAX_TEXT for value in parameter.values
            )
            return codecs_of_texts(parameter.values) if fits or plain else [ValuesAsIndex, NumberAsText]
        case Constant():
            return codecs_of_texts((parameter.value,))


def codec_of(job: TuningJob) -> SpaceCodec:
    """How the job's space travels, whoever reads it: the helper in the container, and the client."""
    choose = partial(codecs_for, plain=not helped(job))
    space = Space(_grid_entries(job)) if isinstance(job.strategy, Grid) else job.search_space()
    return Flattened(space, choose) if space.conditional else SpaceCodec(space, choose)


def _grid_entries(job: TuningJob) -> dict[str, Any]:
    """The space with lists of the grid's values in the place of ranges: the service's grid takes nothing else."""
    assert isinstance(job.strategy, Grid)
    levels = job.strategy.levels
    return {
        name: tuple(_grid_values(each, levels) for each in entry)
        if isinstance(entry, tuple)
        else _grid_values(entry, levels)
        for name, entry in job.space.items()
    }


def _grid_values(parameter: Parameter, levels: int | None) -> Parameter:
    if isinstance(parameter, Categorical | Constant):
        return parameter
    values = axis_of(parameter).grid(levels or 1)
    if len(values) > MAX_VALUES:
        return parameter  # more than the service takes: cloudtune drives such a grid
    return Categorical(values=tuple(dict.fromkeys(values)), when=parameter.when)


# Ranges


def branches_of(job: TuningJob, codec: SpaceCodec) -> list[Branch]:
    """What each training job definition searches: one, or one a value of the parameter that decides what exists."""
    root = _root(job, codec)
    if root is None:
        return [_branch("", codec.travels, {})]
    parameter = root.dimension.parameter
    assert isinstance(parameter, Categorical)
    names, found = _definition_names(parameter.values), []
    for index, value in enumerate(parameter.values):
        branch = _branch(
            names[index], _in_branch(codec.travels, root, value), {root.sent_as: text_of(root.encode(value))}
        )
        found.append(branch)
    return found if all(any(branch.ranges.values()) for branch in found) else [_branch("", codec.travels, {})]


def root_name(branches: Sequence[Branch], codec: SpaceCodec) -> str:
    """The parameter of the spec whose values the branches are: the one that none of them searches."""
    searched = {name for branch in branches for name in branch.places}
    return next(travel.dimension.name for travel in codec.travels if travel.dimension.name not in searched)


def _definition_names(values: Sequence[Scalar]) -> list[str]:
    """A name for the definition of each value: letters, digits and dashes, 64 at most (botocore: DefinitionName)."""
    names = [re.sub(r"[^A-Za-z0-9]+", "-", text_of(value)).strip("-")[:60].strip("-") for value in values]
    unique = all(names) and len(set(names)) == len(names)
    return names if unique else [f"{index}-{name}".strip("-") for index, name in enumerate(names)]


def _root(job: TuningJob, codec: SpaceCodec) -> Travel | None:
    """The categorical parameter by which a search is split where it must not be flattened.

    A Bayesian search would waste trials, and a program without the helper would see what does not exist in its trial.
    """
    if not isinstance(job.strategy, Bayesian) and (helped(job) or not isinstance(job.strategy, Random)):
        return None
    parents = {parent for travel in codec.travels for parent in travel.dimension.parameter.when or {}}
    for travel in codec.travels:
        parameter = travel.dimension.parameter
        alone = sum(other.dimension.name == travel.dimension.name for other in codec.travels) == 1
        fits = isinstance(parameter, Categorical) and 2 <= len(parameter.values) <= MAX_DEFINITIONS
        if fits and alone and travel.dimension.name in parents and not parameter.when:
            return travel
    return None


def _in_branch(travels: Sequence[Travel], root: Travel, value: Scalar) -> list[Travel]:
    """The dimensions that may exist where the root has a value."""
    present = {root.dimension.name}
    inside = []
    for travel in travels:
        when = travel.dimension.parameter.when or {}
        allowed = when.get(root.dimension.name)
        fits = allowed is None or any(same_scalar(value, one) for one in allowed)
        if travel is not root and fits and all(parent in present or parent not in _names(travels) for parent in when):
            present.add(travel.dimension.name)
            inside.append(travel)
    return inside


def _names(travels: Sequence[Travel]) -> set[str]:
    return {travel.dimension.name for travel in travels}


def _branch(name: str, travels: Sequence[Travel], static: Mapping[str, str]) -> Branch:
    branch = Branch(name, {}, dict(static))
    for travel in travels:
        kind, declared = _range(travel.sent_as, travel.parameter)
        if kind is None:
            branch.static[travel.sent_as] = text_of(declared)
            branch.places.setdefault(travel.dimension.name, f"static.{travel.sent_as}")
        else:
            ranges = branch.ranges.setdefault(kind, [])
            branch.places.setdefault(travel.dimension.name, f"{kind}[{len(ranges)}]")
            ranges.append(declared)
    return branch


def _range(name: str, parameter: Parameter) -> tuple[str | None, Any]:
    """The kind and the members of a range; no kind, and the value, for a parameter that does not vary."""
    match parameter:
        case Int() | Float():
            if parameter.low == parameter.high:
                return None, parameter.low
            kind = "IntegerParameterRanges" if isinstance(parameter, Int) else "ContinuousParameterRanges"
            return kind, {
                "Name": name,
                "MinValue": text_of(parameter.low),
                "MaxValue": text_of(parameter.high),
                "ScalingType": _SCALES[parameter.scale],
            }
        case Categorical() | Ordinal():
            if len(parameter.values) == 1:
                return None, parameter.values[0]
            return "CategoricalParameterRanges", {
                "Name": name,
                "Values": [text_of(value) for value in parameter.values],
            }
        case Constant():
            return None, parameter.value
        case _:
            raise AssertionError(parameter)  # the codecs leave no other kind


def too_many(branches: Sequence[Branch]) -> bool:
    """Whether there are more parameters than a tuning job of the service may search."""
    return any(sum(map(len, branch.ranges.values())) > MAX_PARAMETERS for branch in branches)
