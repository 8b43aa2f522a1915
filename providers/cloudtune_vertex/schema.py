"""Vertex AI's messages as plain data: checked against the SDK's fields, and brought into one form.

A message has many spellings in JSON and YAML: names in camelCase or snake_case, enums by name or number, 64-bit
integers as numbers or texts, defaults that are written or left out (https://protobuf.dev/programming-guides/json/).
The normal form has camelCase, names of enums, numbers, and no defaults but the bounds of parameters.
"""

import difflib
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from cloudtune.errors import suggest
from cloudtune.planning.plain_data import join
from cloudtune.planning.violations import Violation
from cloudtune_vertex.schema_update import Field, Schema, newer, written

Data = Any
"""Plain data: what JSON can say."""

_BOUNDS = {"StudySpec.ParameterSpec.DoubleValueSpec": 0.0, "StudySpec.ParameterSpec.IntegerValueSpec": 0}
"""Messages whose bounds are written even where they are 0: a reader does not take a missing ``minValue`` for 0."""

_DURATION = re.compile(r"-?\d+(\.\d{1,9})?s")
MAX_SECONDS = 315_576_000_000
"""Of a duration, which are 10,000 years (google/protobuf/duration.proto)."""

_WHOLE = {"int32": 2**31, "int64": 2**63}


def normal(data: Data, message: str = "HyperparameterTuningJob") -> tuple[dict[str, Any], list[Violation]]:
    """Return a message in its normal form, and what in the data does not fit it.

    Args:
        data: the message in any spelling that the service takes.
        message: the name of its type.
    """
    reader = _Reader(written())
    form = reader.message(data, message, "")
    known_better = newer() if reader.unknown else None
    if known_better is None:
        return form, reader.violations
    reader = _Reader(known_better)
    return reader.message(data, message, ""), reader.violations


class _Reader:
    """Reads data by a schema, and collects what does not fit."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self.violations: list[Violation] = []
        self.unknown = False
        self._scalars: Mapping[str, Callable[[Data, str], Data]] = {
            "string": self._string,
            "double": self._double,
            "bool": self._bool,
            "duration": self._duration,
            "timestamp": self._string,
            "any": lambda value, _: value,
        }

    def _refuse(self, path: str, message: str) -> None:
        self.violations.append(Violation(path, message))

    def message(self, data: Data, name: str, path: str) -> dict[str, Any]:
        """Return the normal form of a message."""
        if not isinstance(data, Mapping):
            self._refuse(path, f"must be an object ({name})")
            return {}
        fields = self._schema.messages[name]
        form: dict[str, Any] = {}
        groups: dict[str, str] = {}
        for given, value in data.items():
            key = _camel_case(str(given)) if given not in fields else given
            if key not in fields:
                self._unknown(path, str(given), fields)
            elif value is not None:
                part = self._field(value, fields[key], join(path, key))
                if fields[key].oneof:
                    self._alone(groups, fields[key].oneof, key, path)
                if fields[key].present or part not in ("", 0, False, [], {}, None):
                    form[key] = part
        if name in _BOUNDS:
            form = {"minValue": _BOUNDS[name], "maxValue": _BOUNDS[name], **form}
        return form

    def _unknown(self, path: str, given: str, fields: Mapping[str, Field]) -> None:
        self.unknown = True
        near = difflib.get_close_matches(_camel_case(given), fields, n=1)  # `suggest` takes maxTrials for trials
        hint = f"did you mean {near[0]!r}?" if near else suggest("", fields)
        self._refuse(join(path, given), f"is no field here; {hint}")

    def _alone(self, groups: dict[str, str], group: str, key: str, path: str) -> None:
        if group in groups:
            self._refuse(join(path, key), f"excludes {groups[group]}; keep one of them")
        groups[group] = key

    def _field(self, value: Data, field: Field, path: str) -> Data:
        if field.many == "list":
            if not isinstance(value, list | tuple):
                self._refuse(path, "must be a list")
                return []
            return [self._value(part, field.kind, f"{path}[{index}]") for index, part in enumerate(value)]
        if field.many == "map":
            if not isinstance(value, Mapping):
                self._refuse(path, "must be an object")
                return {}
            return {str(key): self._value(part, field.kind, join(path, str(key))) for key, part in value.items()}
        return self._value(value, field.kind, path)

    def _value(self, value: Data, kind: str, path: str) -> Data:
        if kind in self._schema.messages:
            return self.message(value, kind, path)
        if kind in self._schema.enums:
            return self._enum(value, self._schema.enums[kind], path)
        if kind in _WHOLE:
            return self._whole(value, _WHOLE[kind], path)
        return self._scalars[kind](value, path)

    def _enum(self, value: Data, known: tuple[str, ...], path: str) -> str:
        """Return the name of an enum's value; "" for its first one, which says nothing."""
        numbers = dict(each.split(" ", 1) for each in known)
        text = value if isinstance(value, str) else _said(value)
        name = numbers.get(text, value) if not isinstance(value, bool) else value
        if name not in numbers.values():
            self._refuse(path, f"has no value {_said(value)}; {suggest(text, numbers.values())}")
            return ""
        return "" if name == numbers["0"] else str(name)

    def _string(self, value: Data, path: str) -> str:
        if not isinstance(value, str):
            self._refuse(path, f"must be a text, not {_said(value)}")
            return ""
        return value

    def _bool(self, value: Data, path: str) -> bool:
        if not isinstance(value, bool):
            self._refuse(path, f"must be true or false, not {_said(value)}")
            return False
        return value

    def _double(self, value: Data, path: str) -> float:
        number = _number(value)
        if number is None or not math.isfinite(number):
            self._refuse(path, f"must be a number, not {_said(value)}")
            return 0.0
        return number

    def _whole(self, value: Data, bound: int, path: str) -> int:
        number = int(value) if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,20}", value) else _number(value)
        if isinstance(value, int) and not isinstance(value, bool):
            number = value  # a double would lose digits
        if number is None or not -bound <= number < bound or number != int(number):  # NaN lies nowhere
            self._refuse(path, f"must be a whole number of {bound.bit_length()} bits, not {_said(value)}")
            return 0
        return int(number)

    def _duration(self, value: Data, path: str) -> str:
        if not isinstance(value, str) or not _DURATION.fullmatch(value):
            self._refuse(path, f'must be seconds as a text such as "3600s", not {_said(value)}')
            return ""
        seconds = float(value[:-1])
        if abs(seconds) > MAX_SECONDS:
            self._refuse(path, f"must lie within ±{MAX_SECONDS} seconds, not be {value[:60]!r}")
            return ""
        return duration_text(seconds)


def _said(value: Data) -> str:
    """Return a value in a message, which a number of thousands of digits cannot stand in."""
    is_huge = isinstance(value, int) and abs(value) > 10**30
    return "a very large number" if is_huge else repr(value)


def _number(value: Data) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _camel_case(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


def duration_text(seconds: float) -> str:
    """Return seconds as a `google.protobuf.Duration` in JSON, e.g. ``"3600s"`` and ``"0.5s"``."""
    whole = int(seconds)
    return f"{whole}s" if whole == seconds else f"{seconds:.9f}".rstrip("0") + "s"


def seconds_of(text: str) -> float:
    """Return seconds from a `google.protobuf.Duration` in JSON."""
    return float(text.removesuffix("s"))
