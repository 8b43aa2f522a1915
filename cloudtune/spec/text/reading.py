"""Read YAML as plain data with the place of every key and value, within bounds for any text."""

import re
from collections.abc import Iterator
from functools import cache

import yaml
from yaml.events import Event

from cloudtune.errors import Problem, SpecError
from cloudtune.spec.text.building import MAX_ALIASED, Builder, Node, Place, RefusedError
from cloudtune.spec.text.dialects import FOREIGN, OWN, Dialect
from cloudtune.spec.text.files import MAX_BYTES, read_file, too_large
from cloudtune.spec.text.syntax import MAX_DEPTH, syntax_problem

__all__ = ["MAX_ALIASED", "MAX_BYTES", "MAX_DEPTH", "Node", "Place", "read_file", "read_foreign", "read_yaml"]

_UNPRINTABLE_ASCII = re.compile("[^\t\n\r\x20-\x7e]")


def read_yaml(text: str, source: str) -> tuple[Node, list[Problem]]:
    """Return the document of a text, and the mistakes that did not end the reading.

    Args:
        text: one YAML document, as a job's file has it.
        source: what errors call the text.

    Raises:
        SpecError: the text is not one YAML document, or exceeds the bounds of this module.
    """
    builder = _built(text, source, OWN)
    if not builder.roots or builder.roots[0].value is None:
        raise SpecError([Problem("", "the document is empty")], source)
    return builder.roots[0], builder.problems


def read_foreign(text: str, source: str) -> list[Node]:
    """Return the documents of a text of another tool, without the empty ones.

    Raises:
        SpecError: the text is not YAML, has a mistake in it, or exceeds the bounds of this module.
    """
    builder = _built(text, source, FOREIGN)
    if builder.problems:
        raise SpecError(builder.problems, source)
    return [root for root in builder.roots if root.value is not None]


def _built(text: str, source: str, dialect: Dialect) -> Builder:
    _check_characters(text, source)
    builder = Builder(dialect)
    try:
        for event in _events(text):
            builder.take(event)
    except RefusedError as refused:
        raise SpecError([*builder.problems, refused.problem], source) from None
    except yaml.YAMLError as error:
        raise SpecError([*builder.problems, syntax_problem(error, text)], source) from None
    return builder


@cache
def _unprintable() -> re.Pattern[str]:
    """Return a regex for a character that YAML 1.1 does not allow; compiling so wide a class takes milliseconds."""
    return re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


def _check_characters(text: str, source: str) -> None:
    # A character takes up to 4 bytes, so a short text need not be encoded to know that it is short enough.
    if len(text) > MAX_BYTES or (len(text) * 4 > MAX_BYTES and len(text.encode(errors="replace")) > MAX_BYTES):
        raise too_large(source)
    unprintable = _UNPRINTABLE_ASCII if text.isascii() else _unprintable()
    bad = unprintable.search(text.removeprefix("\ufeff"))
    if bad:
        before = text[: bad.start()]
        line, column = before.count("\n") + 1, bad.start() - before.rfind("\n")
        message = f"the character U+{ord(bad[0]):04X} may not stand in YAML"
        hint = 'write it as an escape in double quotes, e.g. "\\u0007"'
        raise SpecError([Problem("", message, hint, line, column)], source)


def _events(text: str) -> Iterator[Event]:
    """Return PyYAML's events, from its C library, which is ten times as fast, if that is installed."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    events: Iterator[Event] = yaml.parse(text.removeprefix("\ufeff"), Loader=loader)
    return events
