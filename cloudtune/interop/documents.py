"""Files of other tools as plain data, with the line and column of each value for messages."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from cloudtune.errors import Problem, SpecError
from cloudtune.spec.text.files import name_of, read_source
from cloudtune.spec.text.json_text import looks_like_json, read_json
from cloudtune.spec.text.reading import read_foreign

if TYPE_CHECKING:
    from cloudtune.spec.text.building import Node, Place
    from cloudtune.spec.text.mistakes import Location

Steps = Sequence[str | int]
"""The path to a value: keys and indices."""

Model = TypeVar("Model", bound=BaseModel)


class Shape(BaseModel):
    """The base class of models of parts of a foreign file; unknown keys are mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


@dataclass(frozen=True, slots=True)
class Document:
    """One document of YAML or JSON.

    Attributes:
        data: its content.
        source: its name in messages.
        node: the content with lines and columns; None if they are not known.
        text: the text of JSON, which is parsed for lines and columns only when they are needed.
    """

    data: Any
    source: str
    node: "Node | None" = None
    text: str = ""

    def problem(self, path: Steps, message: str, hint: str = "") -> Problem:
        """Return a mistake at a path, with the line and column of its last existing part."""
        node = self._places()
        line, column = (None, None) if node is None else _place(node, path)
        return Problem(path_text(path), message, hint, line, column)

    def error(self, path: Steps, message: str, hint: str = "") -> SpecError:
        """Return the error of a single mistake."""
        return SpecError([self.problem(path, message, hint)], self.source)

    def _places(self) -> "Node | None":
        return self.node or (_node_of(self.text) if self.text else None)

    def part(self, *path: str | int) -> "Document":
        """Return the value at a path as a document."""
        data, node = self.data, self._places()
        for step in path:
            data = data[step]
            node = None if node is None else node.children.get(step)
        return Document(data, self.source, node)

    @contextmanager
    def located(self) -> Iterator[None]:
        """Add lines and columns to the problems of a SpecError that is raised within the context."""
        try:
            yield
        except SpecError as error:
            node = self._places()
            if node is None or any(problem.line for problem in error.problems):
                raise
            problems = []
            for problem in error.problems:
                line, column = _place(node, _steps(problem.path, self.data))
                problems.append(replace(problem, line=line, column=column))
            raise SpecError(problems, self.source) from error

    def check(self, model: type[Model], data: Any, at: Steps = ()) -> Model:
        """Return data, whose path in the document is `at`, validated as a model.

        Raises:
            SpecError: the data is not valid; lists every mistake with its place.
        """
        try:
            return model.model_validate(data)
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
        problems = [self.problem((*at, *_keys(each["loc"], data)), _words(each)) for each in found]
        raise SpecError(list(dict.fromkeys(problems)), self.source)


def path_text(path: Steps) -> str:
    """Return a path as text for messages: ``spec.parameters[0].name``."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def read_documents(source: str) -> list[Document]:
    """Return the documents of a file; ``-`` for standard input.

    YAML is read as YAML 1.1, as most tools read it.

    Raises:
        SpecError: the file is neither YAML nor JSON, or exceeds the bounds of `cloudtune.spec.text.reading`.
        ConfigError: there is no such file.
        OSError: it cannot be read.
    """
    text, name = read_source(source), name_of(source)
    if looks_like_json(text):
        return [Document(read_json(text, name), name, text=text)]
    return [Document(node.value, name, node) for node in read_foreign(text, name)]


def read_document(source: str) -> Document:
    """Return the only document of a file; ``-`` for standard input.

    Raises:
        SpecError: as `read_documents` does; or there is none, or more than one.
        ConfigError: there is no such file.
        OSError: it cannot be read.
    """
    documents = read_documents(source)
    if not documents:
        raise SpecError([Problem("", "the document is empty")], name_of(source))
    if len(documents) > 1:
        raise documents[1].error((), f"a second document begins here, of {len(documents)}", "give a file with one")
    return documents[0]


@lru_cache(maxsize=1)
def _node_of(text: str) -> "Node | None":
    """Return JSON with lines and columns; None if it is not YAML as well, e.g. with tabs."""
    with suppress(SpecError):
        nodes = read_foreign(text, "")
        return nodes[0] if nodes else None
    return None


def _place(node: "Node", path: Steps) -> "Place":
    """Return the place of a value; for a missing one, that of its last existing container."""
    for step in path:
        inner = node.children.get(step)
        if inner is None:
            break
        node = inner
    return node.place


def _steps(path: str, data: Any) -> list[str | int]:
    """Return the keys and indices of a path given as text, as far as they exist in the data.

    A key may contain dots, and may be spelled differently in the file: ``maxTrialCount`` for ``max_trial_count``.
    """
    steps: list[str | int] = []
    while path:
        if isinstance(data, list) and (found := re.match(r"\[?(\d+)\]?\.?", path)) and int(found[1]) < len(data):
            step: str | int = int(found[1])
            path = path[found.end() :]
        elif isinstance(data, Mapping):
            fitting = [key for key in data if re.match(rf"{re.escape(_folded(key))}(?:[.\[]|$)", _folded(path))]
            if not fitting:
                break
            key = max(fitting, key=len)
            step, path = key, _without(path, len(_folded(key)))
        else:
            break
        steps.append(step)
        data = data[step]
    return steps


def _folded(text: str) -> str:
    return text.replace("_", "").lower()


def _without(path: str, count: int) -> str:
    """Return a path without its first `count` letters, not counting underscores."""
    for index, letter in enumerate(path):
        count -= letter != "_"
        if count == 0:
            return path[index + 1 :].removeprefix(".")
    return ""


def _keys(location: "Location", data: Any) -> list[str | int]:
    """Return a location of pydantic without the names of unions and validators, which are not keys of the data."""
    steps: list[str | int] = []
    for step in location:
        known = isinstance(data, dict) and step in data
        if known or (isinstance(data, list) and isinstance(step, int) and step < len(data)):
            data = data[step]
            steps.append(step)
        elif step == location[-1] and isinstance(data, dict):
            steps.append(step)
    return steps


def _words(error: Any) -> str:  # pydantic's ErrorDetails
    kind, message = error["type"], error["msg"]
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return "is no key that this file may have here"
    text: str = message.removeprefix("Value error, ").replace("Input should be", "must be", 1)
    for theirs, ours in _KINDS.items():
        text = text.replace(theirs, ours)
    return text[:1].lower() + text[1:]


_KINDS = {
    "a valid tuple": "a list",
    "a valid list": "a list",
    "a valid dictionary": "a mapping (key: value)",
    "a valid string": "a text",
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "a valid boolean": "true or false",
}
"""Pydantic's names of types, and those in our messages."""
