"""The query language of Cloud Logging and the list filters of Vertex AI, as far as they are alike.

https://cloud.google.com/logging/docs/view/logging-query-language and https://google.aip.dev/160: comparisons
``field OPERATOR value`` with ``AND``, ``OR``, ``NOT``, ``-`` and parentheses; a list of values ``field=("a" OR "b")``;
what stands side by side is joined by AND.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

Holds = Callable[[Mapping[str, Any]], bool]

_TOKEN = re.compile(
    r"""\s*(?:(?P<quoted>"(?:[^"\\]|\\.)*")|(?P<operator><=|>=|!=|=~|!~|[=<>:()])|(?P<word>[^\s"()=<>:!]+))"""
)
_COMPARISONS: Mapping[str, Callable[[str, str], bool]] = {
    "=": lambda actual, wanted: actual == wanted,
    "!=": lambda actual, wanted: actual != wanted,
    "<": lambda actual, wanted: actual < wanted,
    "<=": lambda actual, wanted: actual <= wanted,
    ">": lambda actual, wanted: actual > wanted,
    ">=": lambda actual, wanted: actual >= wanted,
    "=~": lambda actual, wanted: re.search(wanted, actual) is not None,
    "!~": lambda actual, wanted: re.search(wanted, actual) is None,
}


class BadQuery(ValueError):
    """A text that is no query; the message says where."""


def compiled(query: str) -> Holds:
    """Return a function that says whether a query holds for an object.

    Args:
        query: the text; an empty one holds for all.

    Raises:
        BadQuery: it cannot be read.
    """
    parser = _Parser(query)
    if not parser.left:
        return lambda _: True
    holds = parser.any_of()
    if parser.left:
        raise BadQuery(f"unexpected {parser.left[0][1]!r} in the filter {query!r}")
    return holds


class _Parser:
    """Reads a query from left to right; OR binds less than AND."""

    def __init__(self, query: str) -> None:
        self.query = query
        self.left: list[tuple[str, str]] = []
        position = 0
        while query[position:].strip():
            found = _TOKEN.match(query, position)
            if found is None:
                raise BadQuery(f"the filter {query!r} cannot be read from {query[position:].strip()!r}")
            kind = str(found.lastgroup)
            self.left.append((kind, found.group(kind)))
            position = found.end()

    def _next(self, *texts: str) -> bool:
        """Take the next token if it is one of these."""
        if self.left and self.left[0][0] != "quoted" and self.left[0][1] in texts:
            self.left.pop(0)
            return True
        return False

    def any_of(self) -> Holds:
        parts = [self._all_of()]
        while self._next("OR"):
            parts.append(self._all_of())
        return lambda data: any(part(data) for part in parts)

    def _all_of(self) -> Holds:
        parts = [self._one()]
        while self.left and self.left[0][1] not in (")", "OR"):
            self._next("AND")
            parts.append(self._one())
        return lambda data: all(part(data) for part in parts)

    def _one(self) -> Holds:
        if self._next("NOT", "-"):
            inner = self._one()
            return lambda data: not inner(data)
        if self._next("("):
            inner = self.any_of()
            self._close()
            return inner
        return self._comparison()

    def _close(self) -> None:
        if not self._next(")"):
            raise BadQuery(f"a parenthesis is not closed in the filter {self.query!r}")

    def _word(self) -> str:
        if not self.left or self.left[0][0] == "operator":
            raise BadQuery(f"something is missing in the filter {self.query!r}")
        kind, text = self.left.pop(0)
        return re.sub(r"\\(.)", r"\1", text[1:-1]) if kind == "quoted" else text

    def _comparison(self) -> Holds:
        path = self._path()
        if not self.left or self.left[0][0] != "operator" or self.left[0][1] in "()":
            raise BadQuery(f"{path[0]!r} needs a comparison in the filter {self.query!r}")
        operator = self.left.pop(0)[1]
        if self._next("("):
            values = [self._word()]
            while self._next("OR"):
                values.append(self._word())
            self._close()
            return lambda data: any(_compare(data, path, operator, value) for value in values)
        value = self._word()
        return lambda data: _compare(data, path, operator, value)

    def _path(self) -> list[str]:
        """Return a field's names; a quoted one may hold dots: ``labels."a.b/c"``."""
        path: list[str] = []
        while True:
            quoted = bool(self.left) and self.left[0][0] == "quoted"
            word = self._word()
            path += [word] if quoted else [part for part in word.split(".") if part]
            if quoted or not word.endswith("."):
                return path


def _compare(data: Any, path: list[str], operator: str, wanted: str) -> bool:
    for part in path:
        data = _member(data, part)
    if operator == ":":
        return _has(data, wanted)
    if data is None:
        return operator in ("!=", "!~")
    return _COMPARISONS[operator](str(data), wanted)


def _member(data: Any, name: str) -> Any:
    """Return a field by its name in camelCase or snake_case."""
    if not isinstance(data, Mapping):
        return None
    if name in data:
        return data[name]
    first, *rest = name.split("_")
    return data.get(first + "".join(part.capitalize() for part in rest))


def _has(data: Any, wanted: str) -> bool:
    """Return whether the operator ``:`` holds: any value for ``*``, a text by wildcards or a part of it, a key of a map.

    Wildcards are those of ``ListHyperparameterTuningJobsRequest.filter``: ``display_name:"my_job_*"`` is of the whole text.
    """
    if data is None:
        return False
    if isinstance(data, Mapping):
        return wanted == "*" or wanted in data
    text, pattern = str(data).lower(), wanted.lower()
    if "*" not in pattern:
        return pattern in text
    return re.fullmatch(".*".join(re.escape(part) for part in pattern.split("*")), text, re.DOTALL) is not None
