"""How a space travels to Vertex AI and back: the parameter specs of a study, and the codecs that they need."""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from cloudtune.planning.merge_patch import Merging
from cloudtune.space.codecs import (
    Codec,
    NormalAsUnit,
    NumberAsText,
    ReverseLogAsExponent,
    SteppedAsInt,
    ValuesAsIndex,
    codecs_of_texts,
    number_in,
    text_of,
)
from cloudtune.space.grid import listed_values
from cloudtune.space.parameters import Categorical, Constant, Float, Int, LogNormal, Normal, Ordinal, Parameter, Scalar
from cloudtune.space.space import Entries, Space, with_parameters
from cloudtune.space.space_codec import EncodedDimension, Nested
from cloudtune.spec.fields import is_parameter_name
from cloudtune.spec.job import TuningJob
from cloudtune.spec.strategies import Grid
from cloudtune_vertex.rules import MAX_DISCRETE, MIN_DISTANCE

PROVIDER = "vertex"

MERGING = Merging(("parameterId", "metricId", "name"), frozenset({"workerPoolSpecs"}))
"""How native settings are merged into a request: which fields tell the items of its lists apart."""

SCALES = {"linear": "UNIT_LINEAR_SCALE", "log": "UNIT_LOG_SCALE", "reverse_log": "UNIT_REVERSE_LOG_SCALE"}


def helped(job: TuningJob) -> bool:
    """Return whether trials start through cloudtune's helper, which decodes parameters and reports what the program prints."""
    return (job.trial.command is not None or job.trial.function is not None) and not starts_itself(job)


def starts_itself(job: TuningJob) -> bool:
    """Return whether the native settings name the program that the container starts (``command``, ``pythonPackageSpec``)."""
    spec = job.native_settings("vertex").get("trialJobSpec")
    pools = spec.get("workerPoolSpecs") if isinstance(spec, dict) else None
    first = pools[0] if isinstance(pools, list) and pools else None
    if not isinstance(first, dict):
        return False
    container = first.get("containerSpec")
    command = container.get("command") if isinstance(container, dict) else None
    return bool(first.get("pythonPackageSpec")) or (bool(command) and not _starts_helper(command))


def helper_command(folder: str) -> list[str]:
    """Return what starts the trial helper from the mounted bucket; an emulator without mounts names another root.

    Args:
        folder: bucket and path.
    """
    return ["sh", "-c", f'exec python3 "${{CLOUDTUNE_GCS:-/gcs}}/{folder}/trial.py" "$@"', "trial"]


_FOLDER = re.compile(r"/gcs\}/(.+)/trial\.py")


def _starts_helper(command: Any) -> bool:
    """Return whether a native command starts the helper: that of a job which cloudtune sent, with its own code."""
    found = _FOLDER.search(str(command[2])) if isinstance(command, list) and len(command) > 2 else None
    return found is not None and command == helper_command(found[1])


# Codecs


def codecs_for(parameter: Parameter, *, plain: bool) -> list[type[Codec]]:
    """Return the codecs that a parameter needs, the first applied first.

    Args:
        parameter: of the spec, with lists of values in the place of steps where the service takes such a list.
        plain: whether the program reads what the service sends, without the helper that decodes it.
    """
    match parameter:
        case Int() | Float() if not plain and _stepped(parameter):
            return [SteppedAsInt, NumberAsText]
        case Float(scale="reverse_log") if not plain:
            return [ReverseLogAsExponent, NumberAsText]
        case Int() | Float():
            return [NumberAsText]
        case Normal() | LogNormal():
            return [NormalAsUnit, NumberAsText]
        case Ordinal():
            if _is_discrete(parameter):
                return [NumberAsText]
            return codecs_of_texts(parameter.values) if plain else [ValuesAsIndex, NumberAsText]
        case Categorical():
            return codecs_of_texts(parameter.values)
        case Constant():
            return codecs_of_texts((parameter.value,))


def _stepped(parameter: Int | Float) -> bool:
    return parameter.step != 1 if isinstance(parameter, Int) else parameter.step is not None


def _is_discrete(parameter: Ordinal) -> bool:
    """Return whether the service takes the values as they are (DiscreteValueSpec)."""
    values = [value for value in parameter.values if isinstance(value, int | float) and not isinstance(value, bool)]
    return (
        len(values) == len(parameter.values) <= MAX_DISCRETE
        and parameter.scale != "reverse_log"
        and all(abs(value) <= 2**53 for value in values)
        and all(float(later) - float(value) >= MIN_DISTANCE for value, later in itertools.pairwise(values))
    )


class Conditional(Nested):
    """A space whose conditions the service carries, as far as each depends on the values of one parameter.

    Args:
        space: with lists of values in the place of steps where the service takes such a list.
        plain: see `codecs_for`.
    """

    def __init__(self, space: Space, *, plain: bool) -> None:
        super().__init__(space, partial(codecs_for, plain=plain))

    def _parent(self, encoded: EncodedDimension) -> EncodedDimension | None:
        when = encoded.dimension.parameter.when or {}
        for name, values in when.items():
            found = self._named(name)
            if len(found) == 1 and _decides(found[0].parameter):
                implied = found[0].dimension.parameter.when or {}
                if all(_covers(allowed, implied.get(other)) for other, allowed in when.items() if other != name):
                    return found[0] if values else None
        return None


def _decides(parameter: Parameter) -> bool:
    """Return whether a condition can depend on a parameter: one with listed or whole values."""
    return isinstance(parameter, Categorical | Ordinal | Int)


def _covers(allowed: Sequence[Scalar], implied: Sequence[Scalar] | None) -> bool:
    return implied is not None and all(value in allowed for value in implied)


def codec_of(job: TuningJob) -> Conditional:
    """Return the codec of a job's space, by which the helper in the container and the client decode the same values."""
    levels = job.strategy.levels if isinstance(job.strategy, Grid) else None
    return conditional(job.space, plain=not helped(job), levels=levels)


def conditional(entries: Entries, *, plain: bool = False, levels: int | None = None) -> Conditional:
    """Return the codec of a space.

    Args:
        entries: parameters, or tuples of variants, by name.
        plain: see `codecs_for`.
        levels: the number of values of each range that a grid walks; None for another search.
    """
    return Conditional(Space(with_parameters(entries, partial(_listed, levels=levels))), plain=plain)


def _listed(parameter: Parameter, levels: int | None) -> Parameter:
    """Return a parameter with a list of values in the place of steps, and of a range that a grid walks by levels."""
    if isinstance(parameter, Int) and parameter.step == 1:
        return parameter  # a range of whole numbers has all of them
    scale = parameter.scale if isinstance(parameter, Int | Float) else "linear"
    if scale == "reverse_log" or (isinstance(parameter, Normal | LogNormal) and levels is None):
        return parameter
    values = listed_values(parameter, levels, MAX_DISCRETE)
    if values is None:
        return parameter
    listed = Ordinal(values=values, scale=scale, when=parameter.when)
    return listed if _is_discrete(listed) else parameter


# Parameter specs


@dataclass(slots=True)
class Written:
    """A space as the service gets it.

    Attributes:
        specs: StudySpec.parameters.
        fixed: what does not vary: arguments of every trial, by their names.
        places: where each dimension went, by its name in the spec: a path within the request, or of an argument.
    """

    specs: list[dict[str, Any]] = field(default_factory=list)
    fixed: dict[str, str] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)


def write(codec: Conditional) -> Written:
    """Return the parameter specs of a space, parents with their children inside."""
    written = Written()
    known: dict[str, tuple[dict[str, Any], str]] = {}
    for travel in codec.encoded_dimensions:
        if isinstance(travel.parameter, Constant):
            written.fixed[travel.sent_as] = text_of(travel.parameter.value)
            written.places.setdefault(travel.dimension.name, "")
            continue
        spec, parent = spec_of(travel.sent_as, travel.parameter), codec.parents[travel.sent_as]
        if parent is None:
            place = f"studySpec.parameters[{len(written.specs)}]"
            written.specs.append(spec)
        else:
            above, where = known[parent.sent_as]
            children = above.setdefault("conditionalParameterSpecs", [])
            place = f"{where}.conditionalParameterSpecs[{len(children)}]"
            children.append({**_condition(above, codec.condition(travel)), "parameterSpec": spec})
        known[travel.sent_as] = spec, place if parent is None else f"{place}.parameterSpec"
        written.places.setdefault(travel.dimension.name, place)
    return written


def _condition(above: Mapping[str, Any], values: Sequence[Scalar]) -> dict[str, Any]:
    if "categoricalValueSpec" in above:
        return {"parentCategoricalValues": {"values": [text_of(value) for value in values]}}
    name = "parentIntValues" if "integerValueSpec" in above else "parentDiscreteValues"
    return {name: {"values": list(values)}}


def spec_of(name: str, parameter: Parameter) -> dict[str, Any]:
    """Return the ParameterSpec of a parameter that varies.

    Args:
        name: the service's.
        parameter: as it travels: the codecs have left none of a kind that the service has not.
    """
    match parameter:
        case Int() | Float():
            kind = "integerValueSpec" if isinstance(parameter, Int) else "doubleValueSpec"
            spec = {kind: {"minValue": parameter.low, "maxValue": parameter.high}}
            return {"parameterId": name, **spec, "scaleType": SCALES[parameter.scale]}
        case Ordinal() if _is_discrete(parameter):
            values = [float(value) for value in parameter.values if isinstance(value, int | float)]
            return {"parameterId": name, "discreteValueSpec": {"values": values}, "scaleType": SCALES[parameter.scale]}
        case Categorical() | Ordinal():
            return {
                "parameterId": name,
                "categoricalValueSpec": {"values": [text_of(value) for value in parameter.values]},
            }
        case _:
            raise AssertionError(parameter)


def arguments(values: Mapping[str, Scalar]) -> list[str]:
    """Return values as the service passes them to a trial."""
    return [f"--{name}={text_of(value)}" for name, value in values.items()]


_KINDS = {"UNIT_LINEAR_SCALE": "linear", "UNIT_LOG_SCALE": "log"}
_CONDITIONS = ("parentDiscreteValues", "parentIntValues", "parentCategoricalValues")

Entry = dict[str, Any]
"""A parameter as the spec writes it."""


def space_of(parameters: Sequence[Mapping[str, Any]]) -> dict[str, Entry]:
    """Return the space of a study; what a spec cannot say of it stays in the native settings."""
    space: dict[str, Entry] = {}
    for parameter in parameters:
        _add(space, parameter, None)
    return space


def _add(space: dict[str, Entry], parameter: Mapping[str, Any], when: Mapping[str, Any] | None) -> None:
    name = parameter["parameterId"]
    if not is_parameter_name(name):
        return
    entry = _entry(parameter)
    space[name] = entry if when is None else {**entry, "when": dict(when)}
    for child in parameter.get("conditionalParameterSpecs", []):
        values = next(child[each]["values"] for each in _CONDITIONS if each in child)
        _add(space, child["parameterSpec"], {name: [_as_in(entry, value) for value in values]})


def _entry(parameter: Mapping[str, Any]) -> Entry:
    if "integerValueSpec" in parameter:
        low, high = _bounds(parameter["integerValueSpec"])
        return _scaled({"type": "int", "low": int(low), "high": int(high)}, parameter, low)
    if "doubleValueSpec" in parameter:
        low, high = _bounds(parameter["doubleValueSpec"])
        return _scaled({"type": "float", "low": low, "high": high}, parameter, low)
    if "discreteValueSpec" in parameter:
        values = [int(value) if value == int(value) else value for value in parameter["discreteValueSpec"]["values"]]
        return _scaled({"type": "ordinal", "values": values}, parameter, values[0])
    return {"type": "categorical", "values": _categories(parameter["categoricalValueSpec"]["values"])}


def _bounds(spec: Mapping[str, Any]) -> tuple[float, float]:
    return spec["minValue"], spec["maxValue"]


def _scaled(entry: Entry, parameter: Mapping[str, Any], low: float) -> Entry:
    """Return an entry with its logarithmic scale; the service's reverse one differs from ours, and stays native."""
    scale = _KINDS.get(parameter.get("scaleType", ""), "linear")
    return {**entry, "scale": scale} if scale == "log" and low > 0 else entry


def _categories(texts: Sequence[str]) -> list[Any]:
    """Return categories: numbers where all are, else the texts as they are."""
    numbers = [number_in(text) for text in texts]
    return list(texts) if any(number is None for number in numbers) else numbers


def _as_in(parent: Entry, value: Any) -> Any:
    """Return a value of a condition as the parent has it."""
    if parent["type"] == "categorical":
        number = number_in(value)
        return number if number in parent["values"] and not isinstance(number, str) and number is not None else value
    return int(value) if value == int(value) else value
