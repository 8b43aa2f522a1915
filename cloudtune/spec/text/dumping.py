"""Convert a job to plain data, and plain data to readable YAML."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any, cast

from pydantic import BaseModel, JsonValue

from cloudtune.spec.native import FIELD, own_keys
from cloudtune.spec.text.scalars import resolve

WIDTH = 100
"""Mappings and lists that fit this many characters stand on one line."""

_ALWAYS_BLOCK = ("trial", "space")  # a line for each of their keys, however few
_LONG_KEY = 500  # YAML gives up on a plain "key:" that is longer than 1024 characters

_SAFE_TEXT = re.compile(
    r"(?:[A-Za-z_]|\.{0,2}/)(?:[A-Za-z0-9_./@+=-]|[ :](?=[A-Za-z0-9_./@+=-]))*"
    r"|[1-9][0-9]*[A-DF-Za-df-z][A-Za-z0-9]*"  # 2h, 50GB; but 1e3 is a number
)
_YAML_1_1_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_LITERAL = re.compile(r"(?!\s)(?:[^\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]|\n)*")


def to_data(job: BaseModel, *, portable: bool = False) -> dict[str, JsonValue]:
    """Return the job as plain data in the order of its fields, without default values.

    Durations and sizes are texts; a single objective is a mapping, several are a list; a condition with one
    value is that value. Native settings of installed providers are under their names, unless it has to be `portable`.
    """
    data = _without_defaults(job, job.model_dump())
    if FIELD in data and not portable:
        native = data.pop(FIELD)
        keys = own_keys(type(job))
        data |= {name: settings for name, settings in native.items() if name in keys}
        if others := {name: settings for name, settings in native.items() if name not in keys}:
            data[FIELD] = others
    if len(data["objective"]) == 1:
        data["objective"] = data["objective"][0]
    return cast("dict[str, JsonValue]", data)


def _without_defaults(part: BaseModel, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a model that are not defaults; `data` is what pydantic dumped of `part`."""
    said = {}
    fields = type(part).model_fields
    # The type of a parameter comes first; inheritance puts it behind the fields that all types share.
    for name, info in sorted(fields.items(), key=lambda item: item[0] != "type"):
        value = getattr(part, name)
        if name == "type" or info.is_required() or value != info.get_default(call_default_factory=True):
            said[name] = _plain(value, data[name])
    if said.get("when"):
        said["when"] = {parent: values[0] if len(values) == 1 else values for parent, values in said["when"].items()}
    return said


def _plain(value: object, data: Any) -> Any:
    if isinstance(value, BaseModel):
        return _without_defaults(value, data)
    if isinstance(value, Mapping):
        return {key: _plain(part, data[key]) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part, plain) for part, plain in zip(value, data, strict=True)]
    return data


def yaml_text(data: Mapping[str, JsonValue]) -> str:
    """Plain data as YAML 1.2, written so that YAML 1.1 reads the same.

    Only what is nested deeper, or is larger, than `cloudtune.spec.text.reading` allows cannot be read back.
    """
    lines: list[str] = []
    for key, value in data.items():
        lines += _keyed(key, value, block=key in _ALWAYS_BLOCK)
    return "\n".join(lines) + "\n"


def _entry(head: str, value: Any, *, block: bool = False) -> list[str]:
    """Return the lines of a key or a dash with its value; those after the first are indented below it."""
    if isinstance(value, str) and "\n" in value and _LITERAL.fullmatch(value) and not value.endswith("\n\n"):
        style = "|" if value.endswith("\n") else "|-"
        return [f"{head} {style}", *_indented(value.removesuffix("\n").split("\n"))]
    inline = flow_text(value)
    is_scalar = not isinstance(value, Mapping | list) or not value
    if is_scalar or (not block and len(head) + len(inline) < WIDTH):
        return [f"{head} {inline}"]
    lines = _block(value)
    return [f"{head} {lines[0]}", *_indented(lines[1:])] if head == "-" else [head, *_indented(lines)]


def _block(value: Mapping[str, Any] | list[Any]) -> list[str]:
    if isinstance(value, Mapping):
        return [line for key, part in value.items() for line in _keyed(key, part)]
    return [line for part in value for line in _entry("-", part)]


def _indented(lines: list[str]) -> list[str]:
    return [f"  {line}" if line else "" for line in lines]


def _keyed(key: str, value: Any, *, block: bool = False) -> list[str]:
    text = _text(key)
    if len(text) > _LONG_KEY:
        return [f"? {text}", *_entry(":", value, block=block)]
    return _entry(f"{text}:", value, block=block)


def flow_text(value: Any) -> str:
    """Return plain data on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_text(key)}: {flow_text(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow_text, value)) + "]"
    return _scalar(value)


def _scalar(value: bool | float | str | None) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return _number(value)
    return _text(value) if isinstance(value, str) else str(value)


def _number(value: float) -> str:
    if not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    mantissa, exponent, power = repr(value).partition("e")
    # YAML 1.1 takes 1e-05 for a text, and 1.0e-05 for a number.
    return mantissa + ("" if "." in mantissa else ".0") * bool(exponent) + exponent + power


def _text(text: str) -> str:
    plain = _SAFE_TEXT.fullmatch(text) and text.casefold() not in _YAML_1_1_WORDS
    if plain and isinstance(resolve(text), str):
        return text
    # A JSON string is a double-quoted scalar of YAML, but for characters that YAML wants escaped.
    return _UNPRINTABLE.sub(lambda character: f"\\u{ord(character[0]):04x}", json.dumps(text, ensure_ascii=False))
