"""How a space travels to SageMaker and back: ranges and static hyperparameters, the codecs that they need, and where each parameter went."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from cloudtune.planning import embedded_spec as spec_text
from cloudtune.planning.merge_patch import Merging
from cloudtune.planning.plan import Ledger, Support
from cloudtune.planning.space_account import travel_steps
from cloudtune.space.codecs import (
    Codec,
    NormalAsUnit,
    NumberAsText,
    SteppedAsInt,
    ValuesAsIndex,
    codecs_of_texts,
    number_in,
    text_of,
)
from cloudtune.space.grid import listed_values
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
from cloudtune.space.space import Space, with_parameters
from cloudtune.space.space_codec import EncodedDimension, Flattened, SpaceCodec, fixed_steps
from cloudtune.spec.fields import is_parameter_name
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
    """Return whether trials start through cloudtune's helper, which decodes parameters before the user's code sees them."""
    return (job.trial.command is not None or job.trial.function is not None) and not starts_itself(job)


def defines_metrics(job: TuningJob) -> bool:
    """Return whether the native settings define metrics."""
    definition = job.native_settings("sagemaker").get("TrainingJobDefinition")
    algorithm = definition.get("AlgorithmSpecification") if isinstance(definition, dict) else None
    return isinstance(algorithm, dict) and bool(algorithm.get("MetricDefinitions"))


def starts_itself(job: TuningJob) -> bool:
    """Return whether the native settings name the program that the training toolkit starts (``sagemaker_program``)."""
    one, several = (
        job.native_settings("sagemaker").get(DEFINITION),
        job.native_settings("sagemaker").get(f"{DEFINITION}s"),
    )
    definitions = [one, *(several if isinstance(several, list) else ())]
    static = [each.get("StaticHyperParameters") for each in definitions if isinstance(each, dict)]
    return any(isinstance(each, dict) and each.get(PROGRAM) is not None for each in static)


# Codecs


def codecs_for(parameter: Parameter, *, plain: bool) -> list[type[Codec]]:
    """Return the codecs that a parameter needs, the first applied first.

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
            return [NormalAsUnit, NumberAsText]
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
    """Return the codec of a job's space, by which the helper in the container and the client decode the same values."""
    choose = partial(codecs_for, plain=not helped(job))
    space = job.search_space()
    if isinstance(job.strategy, Grid):  # the service's grid takes lists of values alone
        space = Space(with_parameters(job.space, partial(_grid_value, levels=job.strategy.levels)))
    return Flattened(space, choose) if space.conditional else SpaceCodec(space, choose)


def _grid_value(parameter: Parameter, levels: int | None) -> Parameter:
    """Return the categories of a parameter in a grid; the parameter itself where the service does not take so many."""
    values = parameter.values if isinstance(parameter, Ordinal) else listed_values(parameter, levels, MAX_VALUES)
    if values is None or len(values) > MAX_VALUES:
        return parameter
    return Categorical(values=tuple(dict.fromkeys(values)), when=parameter.when)


# Ranges


def branches_of(job: TuningJob, codec: SpaceCodec) -> list[Branch]:
    """Return one branch for each training job definition: one in all, or one for each value of the parameter that splits the space."""
    root = _root(job, codec)
    if root is None:
        return [_branch("", codec.encoded_dimensions, {})]
    parameter = root.dimension.parameter
    assert isinstance(parameter, Categorical)
    names, found = _definition_names(parameter.values), []
    for index, value in enumerate(parameter.values):
        branch = _branch(
            names[index], _in_branch(codec.encoded_dimensions, root, value), {root.sent_as: text_of(root.encode(value))}
        )
        found.append(branch)
    return (
        found if all(any(branch.ranges.values()) for branch in found) else [_branch("", codec.encoded_dimensions, {})]
    )


def root_name(branches: Sequence[Branch], codec: SpaceCodec) -> str:
    """Return the name of the parameter whose values the branches stand for: no branch searches it."""
    searched = {name for branch in branches for name in branch.places}
    return next(travel.dimension.name for travel in codec.encoded_dimensions if travel.dimension.name not in searched)


def _definition_names(values: Sequence[Scalar]) -> list[str]:
    """Return a name for the definition of each value: letters, digits and dashes, 64 at most (botocore: DefinitionName)."""
    names = [re.sub(r"[^A-Za-z0-9]+", "-", text_of(value)).strip("-")[:60].strip("-") for value in values]
    unique = all(names) and len(set(names)) == len(names)
    return names if unique else [f"{index}-{name}".strip("-") for index, name in enumerate(names)]


def _root(job: TuningJob, codec: SpaceCodec) -> EncodedDimension | None:
    """Return the categorical parameter by which a search is split where it must not be flattened.

    A Bayesian search would waste trials, and a program without the helper would see what does not exist in its trial.
    """
    if not isinstance(job.strategy, Bayesian) and (helped(job) or not isinstance(job.strategy, Random)):
        return None
    parents = {parent for travel in codec.encoded_dimensions for parent in travel.dimension.parameter.when or {}}
    for travel in codec.encoded_dimensions:
        parameter = travel.dimension.parameter
        alone = sum(other.dimension.name == travel.dimension.name for other in codec.encoded_dimensions) == 1
        fits = isinstance(parameter, Categorical) and 2 <= len(parameter.values) <= MAX_DEFINITIONS
        if fits and alone and travel.dimension.name in parents and not parameter.when:
            return travel
    return None


def _in_branch(travels: Sequence[EncodedDimension], root: EncodedDimension, value: Scalar) -> list[EncodedDimension]:
    """Return the dimensions that may exist where the root has a value."""
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


def _names(travels: Sequence[EncodedDimension]) -> set[str]:
    return {travel.dimension.name for travel in travels}


def _branch(name: str, travels: Sequence[EncodedDimension], static: Mapping[str, str]) -> Branch:
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
    """Return the kind and the members of a range; no kind, and the value, for a parameter that does not vary."""
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
    """Return whether there are more parameters than a tuning job of the service may search."""
    return any(sum(map(len, branch.ranges.values())) > MAX_PARAMETERS for branch in branches)


_WIDE = 100
"""The ratio of bounds above 0 from which a range that leaves its scale to the service is walked by its logarithm."""

_SCALE_OF = {"Linear": "linear", "Logarithmic": "log", "ReverseLogarithmic": "reverse_log"}

BRANCH = "definition"
"""The parameter that stands for the choice among several training job definitions."""

Entry = dict[str, Any]
"""A parameter as the spec writes it."""


def space_of(config: Mapping[str, Any], definitions: Sequence[Mapping[str, Any]]) -> dict[str, Entry]:
    """Return the space of a request.

    Several definitions become a parameter ``definition`` and, where a definition has parameters of its own, conditions
    on it; where two of them search one name in two ways, only the first definition's space is returned, and the rest
    stays native.
    """
    spaces = [
        _one(definition.get("HyperParameterRanges") or config.get("ParameterRanges") or {}, definition)
        for definition in definitions
    ]
    if len(spaces) == 1:
        return spaces[0]
    names = [definition["DefinitionName"] for definition in definitions]
    everything: dict[str, list[tuple[str, Entry]]] = {}
    for name, space in zip(names, spaces, strict=True):
        for key, entry in space.items():
            everything.setdefault(key, []).append((name, entry))
    same = all(entry == found[0][1] for found in everything.values() for _, entry in found)
    if not same or BRANCH in everything:
        return spaces[0]
    root = {BRANCH: {"type": "categorical", "values": names}}
    return root | {
        key: _conditional([name for name, _ in found], found[0][1], len(names)) for key, found in everything.items()
    }


def _conditional(branches: list[str], entry: Entry, all_of_them: int) -> Entry:
    return entry if len(branches) == all_of_them else {**entry, "when": {BRANCH: branches}}


def _one(ranges: Mapping[str, Any], definition: Mapping[str, Any]) -> dict[str, Entry]:
    static = definition.get("StaticHyperParameters") or {}
    space: dict[str, Entry] = {}
    for each in ranges.get("IntegerParameterRanges") or ():
        space[each["Name"]] = _integer(each)
    for each in ranges.get("ContinuousParameterRanges") or ():
        space[each["Name"]] = _continuous(each)
    for each in ranges.get("CategoricalParameterRanges") or ():
        space[each["Name"]] = {"type": "categorical", "values": _values(each["Values"])}
    for each in ranges.get("AutoParameters") or ():
        space[each["Name"]] = {"type": "constant", "value": _value(each["ValueHint"])}
    for name, text in static.items():
        if not name.startswith(("sagemaker_", "cloudtune_spec_")):
            space[name] = {"type": "constant", "value": _value(text)}
    return {name: entry for name, entry in space.items() if is_parameter_name(name)}


def _integer(declared: Mapping[str, str]) -> Entry:
    low, high = int(float(declared["MinValue"])), int(float(declared["MaxValue"]))
    entry: Entry = {"type": "int", "low": low, "high": high}
    scale = _scale(declared, low, high)
    return {**entry, "scale": scale} if scale == "log" else entry


def _continuous(declared: Mapping[str, str]) -> Entry:
    low, high = float(declared["MinValue"]), float(declared["MaxValue"])
    entry: Entry = {"type": "float", "low": low, "high": high}
    scale = _scale(declared, low, high)
    return entry if scale == "linear" else {**entry, "scale": scale}


def _scale(declared: Mapping[str, str], low: float, high: float) -> str:
    asked = declared.get("ScalingType") or "Auto"
    if asked != "Auto":
        return _SCALE_OF[asked]
    return "log" if low > 0 and high / low >= _WIDE else "linear"


def _values(texts: Sequence[str]) -> list[Any]:
    """Return categories: numbers where all are, texts out of JSON where all are put into it, else the texts as they are."""
    numbers = [number_in(text) for text in texts]
    if all(number is not None for number in numbers):
        return numbers
    unpacked = [_unpacked(text) for text in texts]
    inner = list(texts) if any(text is None for text in unpacked) else unpacked
    return inner if len(set(inner)) == len(inner) else list(texts)


def _value(text: str) -> Any:
    number = number_in(text)
    if number is not None:
        return number
    unpacked = _unpacked(text)
    return text if unpacked is None else unpacked


def _unpacked(text: str) -> str | None:
    """Return the string that a text holds as JSON; None for other texts."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, str) else None


def account_for_one(ledger: Ledger, job: TuningJob, codec: SpaceCodec, branch: Branch) -> None:
    """Account for a space that one training job definition searches."""
    said = _steps(job, codec, resolved=set())
    for name, place in branch.places.items():
        fixed = place.removeprefix("static.")
        target = (
            f"{CONFIG}.ParameterRanges.{place}" if fixed == place else f"{DEFINITION}.StaticHyperParameters.{fixed}"
        )
        steps = [said[name]] if name in said else []
        if fixed != place:
            steps += [step for step in fixed_steps(job.space[name]) if not steps]
        if steps:
            ledger.note(f"space.{name}", Support.ENCODED, "; ".join(steps), target)
        else:
            ledger.carry(f"space.{name}", target)


def account_for_branches(ledger: Ledger, job: TuningJob, codec: SpaceCodec, branches: Sequence[Branch]) -> None:
    """Account for a space that several training job definitions search, one a value of a parameter."""
    root = root_name(branches, codec)
    said = _steps(job, codec, resolved={root})
    message = "each of its values has a training job definition of its own"
    ledger.note(f"space.{root}", Support.ENCODED, message, f"{DEFINITION}s[0].StaticHyperParameters")
    noted = set()
    for index, branch in enumerate(branches):
        for name in branch.places:
            if name not in noted:
                steps = "; ".join(
                    [*([said[name]] if name in said else []), "is searched in the definitions of its branches"]
                )
                ledger.note(f"space.{name}", Support.ENCODED, steps, f"{DEFINITION}s[{index}].HyperParameterRanges")
            noted.add(name)


def _steps(job: TuningJob, codec: SpaceCodec, *, resolved: set[str]) -> dict[str, str]:
    """Return how each parameter travels that does not travel as it stands, by its name in the spec.

    Args:
        job: the spec.
        codec: of its space.
        resolved: parents whose conditions the request itself carries.
    """

    def more(encoded: EncodedDimension) -> Iterator[str]:
        entry = job.space[encoded.dimension.name]
        variants = entry if isinstance(entry, tuple) else (entry,)
        listed = all(isinstance(each, Categorical | Ordinal | Constant) for each in variants)
        if isinstance(job.strategy, Grid) and not listed:
            yield "its values on the grid travel as categories"

    def masked(encoded: EncodedDimension) -> bool:
        return bool(set(encoded.dimension.parameter.when or {}) - resolved)

    return {name: "; ".join(steps) for name, steps in travel_steps(job, codec, more, masked).items()}


_NAME = "cloudtune_spec"
_LENGTH = 2400
"""Characters of one hyperparameter; the service takes 2,500 (botocore: HyperParameterValue)."""


def packed_spec(job: TuningJob) -> dict[str, str]:
    """Return the hyperparameters that hold a spec."""
    packed = spec_text.packed_spec(job, "sagemaker")
    parts = [packed[start : start + _LENGTH] for start in range(0, len(packed), _LENGTH)]
    return {f"{_NAME}_{index}": part for index, part in enumerate(parts)}


def unpacked_spec(static: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the spec in static hyperparameters, as data; None where there is none, or a damaged one."""
    parts: list[str] = []
    while (name := f"{_NAME}_{len(parts)}") in static:
        parts.append(static[name])
    return spec_text.unpacked_spec("".join(parts)) if parts else None
