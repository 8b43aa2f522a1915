"""How spaces travel to Vizier: nested as Vertex AI takes them, or flat as the open google-vizier's algorithms do."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cloudtune.space.codecs import (
    Codec,
    NormalAsUnit,
    NumberAsText,
    ReverseLogAsExponent,
    SteppedAsInt,
    ValuesAsIndex,
    ValuesAsText,
    text_of,
)
from cloudtune.space.parameters import Constant, Float, Int, LogNormal, Normal, Ordinal, Parameter, Scalar
from cloudtune.space.space import Entries, Space, Values
from cloudtune.space.space_codec import Flattened
from cloudtune_vertex.space import Conditional, conditional, spec_of, write


def nested(space: Entries | Space) -> Conditional:
    """Return the codec of a space for Vertex AI Vizier."""
    return conditional(_entries(space))


def flat(space: Entries | Space) -> Flattened:
    """Return the codec of a space for the open google-vizier, whose algorithms take no conditions."""
    return Flattened(space, _flat_codecs)


def _entries(space: Entries | Space) -> Entries:
    """Return parameters and variants by name."""
    if not isinstance(space, Space):
        return space
    found: dict[str, tuple[Parameter, ...]] = {}
    for dimension in space.dimensions:
        found[dimension.name] = (*found.get(dimension.name, ()), dimension.parameter)
    return {name: found[name] if len(found[name]) > 1 else found[name][0] for name in space.names}


def _flat_codecs(parameter: Parameter) -> Sequence[type[Codec]]:
    match parameter:
        case Int(step=1) | Float(step=None, scale="linear" | "log"):
            return (NumberAsText,)
        case Float(step=None):
            return (ReverseLogAsExponent, NumberAsText)
        case Int() | Float():
            return (SteppedAsInt, NumberAsText)
        case Normal() | LogNormal():
            return (NormalAsUnit, NumberAsText)
        case Ordinal():
            return (ValuesAsIndex, NumberAsText)
        case _:
            return (ValuesAsText,)


class StudySpace:
    """A space as Vertex AI Vizier has it: its parameter specs, and trials there and back.

    Args:
        space: what is searched.

    Attributes:
        specs: StudySpec.parameters in JSON.
    """

    def __init__(self, space: Space) -> None:
        self._codec = nested(space)
        written = write(self._codec)
        self.specs, self._fixed = written.specs, written.fixed

    def parameters(self, values: Mapping[str, Scalar]) -> list[dict[str, Any]]:
        """Return a trial's parameters as the service gets them (Trial.parameters).

        What the service samples although the trial does not have it gets the middle of its range.
        """
        sent: Values = {}
        for encoded in self._codec.encoded_dimensions:
            parent = self._codec.parents[encoded.sent_as]
            there = parent is None or sent.get(parent.sent_as, _ABSENT) in self._codec.condition(encoded)
            if isinstance(encoded.parameter, Constant) or not there:
                continue
            dimension = encoded.dimension
            own = values[dimension.name] if dimension.active(values) else dimension.axis.at(0.5)
            sent[encoded.sent_as] = encoded.encode(own)
        return [
            {"parameter_id": each.sent_as, "value": _as_sent(each.parameter, sent[each.sent_as])}
            for each in self._codec.encoded_dimensions
            if each.sent_as in sent
        ]

    def values(self, parameters: Iterable[Any]) -> Values:
        """Return the values of a trial from its parameters at the service (Trial.parameters).

        Raises:
            ValueError: they are none of the space.
        """
        return self._codec.decode({**self._fixed, **{each.parameter_id: each.value for each in parameters}})


_ABSENT: Any = object()


def _as_sent(parameter: Parameter, value: Scalar) -> str | float:
    """Return a value as the service has it: numbers as doubles, categories as texts."""
    if isinstance(parameter, Int | Float) or "discreteValueSpec" in spec_of("", parameter):
        assert isinstance(value, int | float)
        return float(value)
    return text_of(value)
