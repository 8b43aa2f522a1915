"""Spaces as Python users write them: ``{"lr": (1e-4, 1e-1, "log"), "depth": range(2, 9), "act": ["relu", "gelu"]}``."""

from collections.abc import Mapping, Sequence
from typing import Any

from cloudtune.errors import Problem, SpecError
from cloudtune.space.parameters import Parameter, Scalar

PlainParameter = (
    Parameter | Mapping[str, Any] | range | tuple[float, float] | tuple[float, float, str] | Sequence[Scalar] | Scalar
)
"""One parameter; see `spelled_out`."""

PlainSpace = Mapping[str, PlainParameter | Sequence[Parameter | Mapping[str, Any]]]
"""A space; the entry of a name is a parameter, or variants of it."""

_SCALES = ("linear", "log", "reverse_log")


def spelled_out(space: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return a space with every plain form as the mapping that the spec takes; other entries stay as they are.

    A tuple of two numbers is a range from the first to the second, of whole numbers if both are whole; a third item is its
    scale. A `range` holds its numbers (the last one is left out, as ever). A list is a choice without an order. A single
    value is a constant. Lists of parameters or mappings are variants of one.

    Args:
        space: entries by name.
        source: what is at fault if an entry means nothing, e.g. ``tune``.

    Raises:
        SpecError: names every entry that is none of these, with what to write in its place.
    """
    if not isinstance(space, Mapping):
        raise SpecError(
            [Problem("space", f"must be parameters by name, not {type(space).__name__}", '{"lr": (1e-4, 1, "log")}')],
            source,
        )
    entries: dict[str, Any] = {}
    problems = []
    for name, entry in space.items():
        try:
            entries[name] = _spelled_out(entry)
        except _NoParameter as error:
            problems.append(Problem(f"space.{name}", str(error), error.hint))
    if problems:
        raise SpecError(problems, source)
    return entries


class _NoParameter(Exception):
    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def _spelled_out(entry: Any) -> Any:
    if hasattr(entry, "tolist"):  # numpy's arrays and scalars
        entry = entry.tolist()
    if isinstance(entry, range):
        return _whole_numbers(entry)
    if isinstance(entry, list | tuple) and any(_is_parameter(item) for item in entry):
        return entry
    if isinstance(entry, tuple):
        return _range(entry)
    if isinstance(entry, list):
        return {"type": "categorical", "values": entry}
    if isinstance(entry, set | frozenset):
        raise _NoParameter(
            "a set has no order, so that a seed would not repeat a search", f"write the list {sorted(entry, key=repr)}"
        )
    if entry is None or isinstance(entry, bool | int | float | str):
        return {"type": "constant", "value": entry}
    return entry


def _is_parameter(item: Any) -> bool:
    return isinstance(item, Mapping) or hasattr(item, "model_dump")


def _is_number(item: Any) -> bool:
    return isinstance(item, int | float) and not isinstance(item, bool)


def _whole_numbers(numbers: range) -> dict[str, Any]:
    if not numbers:
        raise _NoParameter(f"{numbers} holds no number", "its first number must be below its end")
    ascending = numbers if numbers.step > 0 else numbers[::-1]
    return {"type": "int", "low": ascending[0], "high": ascending[-1], "step": ascending.step}


def _range(entry: tuple[Any, ...]) -> dict[str, Any]:
    entry = tuple(item.tolist() if hasattr(item, "tolist") else item for item in entry)
    low_high, scale = entry[:2], entry[2:]
    if len(low_high) < 2 or not all(_is_number(item) for item in low_high):
        raise _NoParameter(
            f"a tuple is a range (low, high) or (low, high, scale), not {entry!r}",
            f"for a choice write the list {list(entry)!r}",
        )
    if len(scale) > 1 or not all(item in _SCALES for item in scale):
        raise _NoParameter(
            f"{entry!r} is no range: after low and high stands at most a scale, {', '.join(_SCALES)}",
            f"for a choice write the list {list(entry)!r}; for steps Float(low, high, step=…) or range(low, end, step)",
        )
    whole = all(isinstance(item, int) for item in low_high)
    return {
        "type": "int" if whole else "float",
        "low": low_high[0],
        "high": low_high[1],
        **({"scale": scale[0]} if scale else {}),
    }
