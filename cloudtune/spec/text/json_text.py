"""JSON to plain data, within the same bounds as YAML."""

import json
import re
from collections.abc import Iterator
from typing import Any

from cloudtune.errors import Problem, SpecError
from cloudtune.spec.text.scalars import MAX_DIGITS
from cloudtune.spec.text.syntax import MAX_DEPTH

_LONG_NUMBER = re.compile(rf"\d{{{MAX_DIGITS + 1},}}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


def looks_like_json(text: str) -> bool:
    """Return whether a text begins as an object or list of JSON does, which YAML may do as well."""
    return re.match(r'\s*(?:\{\s*(?:"|\})|\[\s*["{\[\]])', text) is not None


def read_json(text: str, source: str) -> Any:
    """Return the data of a text.

    Raises:
        SpecError: the text is not JSON, a key stands twice in it, or it exceeds the bounds of a job's YAML.
    """
    problem = _nested_too_deep(text) or _too_long(text)
    if problem is None:
        try:
            data = json.loads(text, object_pairs_hook=_object)
        except json.JSONDecodeError as error:
            problem = Problem("", f"is not JSON: {error.msg}", "", error.lineno, error.colno)
        except _TwiceError as error:
            problem = Problem(error.key, f"the key {error.key!r} stands twice in one object", "keep one")
        else:
            if not (found := next(_with_surrogates(data, ""), None)):
                return data
            problem = Problem(found, "holds half of a character (a lone surrogate)", "write the whole character")
    raise SpecError([problem], source)


class _TwiceError(Exception):
    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(key)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _TwiceError(next(key for index, key in enumerate(keys) if key in keys[:index]))
    return made


def _nested_too_deep(text: str) -> Problem | None:
    """Return the place where objects and lists nest too deeply, before a recursive parser gets the text; None for none."""
    depth = 0
    for found in _BRACKET.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(found[0], 0)
        if depth > MAX_DEPTH:
            line, column = _place(text, found.start())
            return Problem(
                "", f"objects and lists nest deeper than {MAX_DEPTH} levels", "make it flatter", line, column
            )
    return None


def _too_long(text: str) -> Problem | None:
    """Return the place of a number with too many digits, which the error of Python's own limit lacks; None for none."""
    for found in re.finditer(r'"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*', text):
        if not found[0].startswith('"') and (digits := _LONG_NUMBER.search(found[0])):
            line, column = _place(text, found.start())
            return Problem("", f"a number of {len(digits[0])} digits is too long", "", line, column)
    return None


def _place(text: str, index: int) -> tuple[int, int]:
    return text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)


def _with_surrogates(data: Any, path: str) -> Iterator[str]:
    """Yield the paths of texts with surrogates, which no encoding can write; data nests no deeper than `MAX_DEPTH`."""
    if isinstance(data, str) and _SURROGATE.search(data):
        yield path
    elif isinstance(data, dict):
        for key, part in data.items():
            if _SURROGATE.search(key):
                yield path
            yield from _with_surrogates(part, f"{path}.{key}" if path else key)
    elif isinstance(data, list):
        for index, part in enumerate(data):
            yield from _with_surrogates(part, f"{path}[{index}]")
