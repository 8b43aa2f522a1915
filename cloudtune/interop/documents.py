"""Files of other tools as plain data, with the line and column of each value, so that mistakes can be shown."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from cloudtune.errors import ConfigError, Problem, SpecError
from cloudtune.text.reading import read_file
from cloudtune.text.syntax import syntax_problem

if TYPE_CHECKING:
    from cloudtune.text.mistakes import Location

Steps = Sequence[str | int]
"""Keys and indices that lead to a value."""

Model = TypeVar("Model", bound=BaseModel)


class Shape(BaseModel):
    """The base of what a part of a foreign file may hold; an unknown key is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document, or JSON, which is YAML as well.

    Attributes:
        data: what it says.
        source: what messages call it.
        node: PyYAML's own, which knows the places; None for data that came without a text.
    """

    data: Any
    source: str
    node: yaml.Node | None = None

    def problem(self, path: Steps, message: str, hint: str = "") -> Problem:
        """A mistake at a path, or where the path ends before its goal."""
        mark = None if self.node is None else _place(self.node, path)
        line, column = (None, None) if mark is None else (mark.line + 1, mark.column + 1)
        return Problem(path_text(path), message, hint, line, column)

    def error(self, path: Steps, message: str, hint: str = "") -> SpecError:
        """The error of a single mistake."""
        return SpecError([self.problem(path, message, hint)], self.source)

    def check(self, model: type[Model], data: Any, at: Steps = ()) -> Model:
        """The data, which stands at a path, as a model has it.

        Raises:
            SpecError: it is not of this shape; lists every mistake with its place.
        """
        try:
            return model.model_validate(data)
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
        problems = [self.problem((*at, *_keys(each["loc"], data)), _words(each)) for each in found]
        raise SpecError(list(dict.fromkeys(problems)), self.source)


def path_text(path: Steps) -> str:
    """A path as messages write it: ``spec.parameters[0].name``."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def read_documents(source: str) -> list[Document]:
    """The documents of a file; ``-`` for standard input.

    YAML is read as most tools read it, and so those whose files these are: as YAML 1.1, by PyYAML's safe loader.

    Raises:
        SpecError: the text is not YAML, or not UTF-8.
        ConfigError: there is no such file.
    """
    if source != "-" and not Path(source).is_file():
        raise ConfigError(f"there is no file {source!r}")
    text = sys.stdin.read() if source == "-" else read_file(Path(source))
    name = "standard input" if source == "-" else source
    try:
        return _documents(text, name)
    except yaml.YAMLError as error:
        problem = syntax_problem(error, text)
    except RecursionError:
        problem = Problem("", "mappings and lists nest too deeply")
    try:
        return [Document(json.loads(text), name)]  # which may be indented by tabs
    except (ValueError, RecursionError):
        raise SpecError([problem], name) from None


def _documents(text: str, name: str) -> list[Document]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    found = []
    try:
        while loader.check_node():
            node = loader.get_node()
            found.append(Document(loader.construct_document(node), name, node))
    finally:
        loader.dispose()
    return [document for document in found if document.data is not None]


def _place(node: yaml.Node, path: Steps) -> yaml.Mark | None:
    """Where a value stands; of one that is not there, what holds it."""
    for step in path:
        if isinstance(node, yaml.MappingNode):
            inner = next((value for key, value in node.value if key.value == str(step)), None)
        else:
            items = node.value if isinstance(node, yaml.SequenceNode) else []
            inner = items[step] if isinstance(step, int) and step < len(items) else None
        if inner is None:
            break
        node = inner
    mark: yaml.Mark | None = node.start_mark
    return mark


def _keys(location: "Location", data: Any) -> list[str | int]:
    """A location of pydantic without the names of unions and validators, which are no keys of the data."""
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
    return text[:1].lower() + text[1:]
