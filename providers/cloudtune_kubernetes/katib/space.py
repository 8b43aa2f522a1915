"""How a space travels to Katib and back: the parameters of an Experiment, and the codecs that they need.

All of Katib's values are texts, which replace places in the trial's template. Its algorithms heed different parts of a
parameter, so that codecs depend on the algorithm: on ranges of linear scale all agree but the Bayesian search, which draws
reals by their logarithm whatever the Experiment says (pkg/suggestion/v1beta1/skopt/base_service.py of kubeflow/katib).
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Self

from cloudtune.interop.katib.algorithms import algorithm_of
from cloudtune.interop.katib.own import NAME, Own
from cloudtune.interop.katib.spaces import WITH_LOGS, spec_of
from cloudtune.interop.katib.writing import Writer
from cloudtune.space.codecs import (
    Codec,
    NumberAsText,
    SteppedAsInt,
    ValuesAsIndex,
    ValuesAsText,
    codecs_of_texts,
    text_of,
)
from cloudtune.space.grid import listed_values
from cloudtune.space.parameters import Categorical, Constant, Float, Int, LogNormal, Normal, Ordinal, Parameter, Scalar
from cloudtune.space.space import Space, with_parameters
from cloudtune.space.space_codec import EncodedDimension, Flattened, SpaceCodec, linear_codecs
from cloudtune.spec.job import TuningJob
from cloudtune.spec.strategies import Grid
from cloudtune.trial.decode import json_text
from cloudtune_kubernetes.pod import helped

BAYESIAN, POPULATION = "bayesianoptimization", "pbt"

_POINTS = 1000
"""Steps of a range of reals in the first generation of a population, which Katib draws from a list."""

_STEPS = 1_000_000
"""Steps of a range of reals that travels as whole numbers."""

_MOST = 10_000
"""The most values of one parameter of a grid."""

_SAFE = re.compile(r'[^"\\$\x00-\x1f]+')
"""Texts that may take a place within a text of JSON, and within a variable of a container, where $(NAME) is replaced."""

_PLAIN = re.compile(r"[\w@%+=:,./-]+")
"""Texts that a shell leaves alone: Katib starts the words of a container by one (pkg/webhook/v1beta1/pod/inject_webhook.go)."""


@dataclass(frozen=True)
class RealAsInt(SteppedAsInt):
    """Encode a real number of linear scale as one of many whole numbers."""

    @classmethod
    def of(cls, parameter: Parameter) -> Self:
        if not isinstance(parameter, Float) or parameter.step is not None or parameter.scale != "linear":
            raise ValueError(f"RealAsInt carries no {parameter!r}")
        step = (parameter.high - parameter.low) / _STEPS
        if parameter.low + _STEPS * step > parameter.high:
            step = math.nextafter(step, 0.0)
        return cls(parameter.low, step, _STEPS + 1, whole=False, scale="linear")

    def encode(self, value: Scalar) -> Scalar:
        assert isinstance(value, int | float)
        return min(max(round((value - self.low) / self.step), 0), _STEPS)

    def describe(self) -> str:
        return (
            f"travels as a whole number from 0 to {_STEPS}, as Katib's Bayesian search draws reals by their logarithm"
        )


@dataclass(frozen=True)
class IndexAsText(ValuesAsIndex):
    """Encode values that are no legal texts of Katib as the texts of their indexes, without an order."""

    def encode_space(self, parameter: Parameter) -> Parameter:
        return Categorical(values=tuple(str(index) for index in range(len(self.values))), when=parameter.when)

    def encode(self, value: Scalar) -> Scalar:
        return str(super().encode(value))

    def describe(self) -> str:
        return f"travels as the index, 0 to {len(self.values) - 1}, of its {len(self.values)} values"


def algorithm_name(job: TuningJob) -> str:
    """Return the name of Katib's algorithm for a job's strategy."""
    return algorithm_of(job.strategy, {}, None).name


def codec_of(job: TuningJob) -> SpaceCodec:
    """Return the codec of a job's space, by which the helper in the container and the client decode the same values."""
    if is_imported(job):
        return _AsExported(job)
    levels = job.strategy.levels if isinstance(job.strategy, Grid) else None
    shown = with_parameters(job.space, partial(_listed, levels=levels)) if isinstance(job.strategy, Grid) else job.space
    return Flattened(Space(shown), partial(codecs_for, algorithm=algorithm_name(job), plain=not helped(job)))


def is_imported(job: TuningJob) -> bool:
    """Return whether a job has the settings of an Experiment that was imported, which it is again where Katib runs it."""
    return NAME in job.native


class _AsExported(SpaceCodec):
    """The codec of a space as `cloudtune export --to katib` writes it: values are what they say, by Katib's names."""

    def __init__(self, job: TuningJob) -> None:
        own = Own(job.native_settings(NAME))
        super().__init__({**job.space, **Writer(job).searched()}, _texts)
        found = self.encoded_dimensions
        self.encoded_dimensions = tuple(replace(each, sent_as=own.name_of(each.dimension.name)) for each in found)


def _texts(parameter: Parameter) -> Sequence[type[Codec]]:
    match parameter:
        case Categorical(values=values) | Ordinal(values=values):
            return codecs_of_texts(values)
        case Constant(value=value):
            return codecs_of_texts((value,))
        case _:
            return [NumberAsText]


def _listed(parameter: Parameter, levels: int | None) -> Parameter:
    """Return the values of a range that a grid walks, as a list."""
    if isinstance(parameter, Categorical | Ordinal | Constant) or (isinstance(parameter, Int) and parameter.step == 1):
        return parameter
    values = listed_values(parameter, levels, _MOST)
    return parameter if values is None else Ordinal(values=values, when=parameter.when)


def codecs_for(parameter: Parameter, *, algorithm: str, plain: bool) -> Sequence[type[Codec]]:
    """Return the codecs that a parameter needs, the first applied first.

    Args:
        parameter: of the spec.
        algorithm: Katib's, that draws it.
        plain: whether the program reads what Katib sends, without the helper that decodes it.
    """
    match parameter:
        case Constant(value=value):
            return codecs_of_texts((value,))
        case Ordinal(values=values) if plain:
            return codecs_of_texts(values)
        case Ordinal():
            return [ValuesAsIndex, NumberAsText]
        case Categorical(values=values):
            chain = codecs_of_texts(values)
            texts = [json_text(value) if ValuesAsText in chain else text_of(value) for value in values]
            return chain if plain or all(map(_SAFE.fullmatch, texts)) else [IndexAsText]
        case Int() | Float() if drawn_as_it_stands(parameter, algorithm):
            return [NumberAsText]
    chain = list(linear_codecs(parameter))
    whole = SteppedAsInt in chain or isinstance(parameter, Int)
    return [*chain, *([RealAsInt] if algorithm == BAYESIAN and not whole else []), NumberAsText]


def drawn_as_it_stands(parameter: Parameter, algorithm: str) -> bool:
    """Return whether an algorithm draws a range on its own scale."""
    match parameter:
        case Float(step=None, scale="log"):
            return algorithm in WITH_LOGS or algorithm in (BAYESIAN, POPULATION)
        case Float(step=None, scale="linear"):
            return algorithm != BAYESIAN
        case Int(step=1, scale="log"):
            return algorithm in WITH_LOGS
        case Int(step=1, scale="linear"):
            return True
        case _:
            return False


def is_plain(algorithm: str, travel: EncodedDimension) -> bool:
    """Return whether a program reads a parameter as it stands, but for the form of a number or a text."""
    parameter = travel.dimension.parameter
    match parameter:
        case Int() | Float():
            return drawn_as_it_stands(parameter, algorithm)
        case Normal() | LogNormal():
            return False
        case Categorical(values=values) | Ordinal(values=values):
            return all(_PLAIN.fullmatch(text_of(value)) for value in values)
        case Constant(value=value):
            return _PLAIN.fullmatch(text_of(value)) is not None


def loses_its_scale(travel: EncodedDimension) -> bool:
    """Return whether an algorithm draws a parameter evenly that has another scale."""
    parameter = travel.dimension.parameter
    return (
        isinstance(parameter, Int | Float)
        and parameter.scale != "linear"
        and any(isinstance(codec, SteppedAsInt) and codec.scale != "linear" for codec in travel.codecs)
    )


@dataclass(slots=True)
class Written:
    """A space as Katib gets it.

    Attributes:
        parameters: of the Experiment.
        fixed: what does not vary, by the names under which it travels.
        places: where each dimension went, by its name in the spec: a path within the Experiment, or "".
        varied: the parameters that Katib draws, by their names.
    """

    parameters: list[dict[str, Any]] = field(default_factory=list)
    fixed: dict[str, str] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    varied: dict[str, Parameter] = field(default_factory=dict)


def write(codec: SpaceCodec, algorithm: str = "") -> Written:
    """Return the parameters of a space, for one of Katib's algorithms."""
    written = Written()
    for travel in codec.encoded_dimensions:
        name, parameter = travel.sent_as, travel.parameter
        if isinstance(parameter, Constant):
            written.fixed[name] = text_of(parameter.value)
            written.places.setdefault(travel.dimension.name, "")
            continue
        written.places.setdefault(travel.dimension.name, f"spec.parameters[{len(written.parameters)}]")
        written.parameters.append(spec_of(name, parameter))
        if algorithm == POPULATION and isinstance(parameter, Float):
            step = (parameter.high - parameter.low) / _POINTS
            written.parameters[-1]["feasibleSpace"]["step"] = text_of(step)
        written.varied[name] = parameter
    return written


def decoded(codec: SpaceCodec, fixed: Mapping[str, str], told: Mapping[str, str]) -> dict[str, Any]:
    """Return a trial's parameters from Katib's assignments; these as they are where they are of another space."""
    try:
        return dict(codec.decode({**fixed, **told}))
    except ValueError:
        return dict(told)
