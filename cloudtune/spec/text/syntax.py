"""Plain words for what PyYAML's scanner and parser complain about."""

from typing import NamedTuple

import yaml

from cloudtune.errors import Problem

MAX_DEPTH = 50
"""How deep mappings and lists may nest, aliases expanded."""


class _Words(NamedTuple):
    """How one complaint is put.

    Attributes:
        sign: a part of the complaint's context and problem, from libyaml or from PyYAML's own parser.
        message: what is wrong.
        hint: what to do.
        at_start: whether the mistake is where the construct begins rather than where reading it ended.
    """

    sign: str
    message: str
    hint: str
    at_start: bool = False


_TAG = "tags (!) have no meaning in a job", "take it away, or put text that begins with ! in quotes"
_ITEM = "this line is no item of the list above it", "indent it, or begin it with -"
_INDENT = "check the indentation, and quote text where a quote ends early"
_COLON = "put text that has ': ' in it in quotes, and indent keys of one mapping alike"

_COMPLAINTS = (
    # libyaml 0.2.6 has a limit of its own, of 1,000, which its scanner meets before we see an event
    _Words("maximum nesting depth", f"mappings and lists nest deeper than {MAX_DEPTH} levels", "make it flatter"),
    _Words("mapping values are not allowed", "a ':' is not allowed here", _COLON),
    _Words("quoted scalar: found unexpected end", "this quote is not closed", "add the closing quote", True),
    _Words("flow sequence", "this [ has no ] where one should be", "close it, or put commas between items", True),
    _Words("flow mapping", "this { has no } where one should be", "close it, or put commas between keys", True),
    _Words("unknown escape", "an unknown escape in double quotes", "write \\\\ for \\, or use single quotes"),
    _Words("tab character", "a tab cannot indent", "use spaces"),
    _Words("entries are not allowed", "a list cannot begin here", "begin it on a line of its own"),
    _Words("could not find expected ':'", "a key without its ':'", "write key: value"),
    _Words("block scalar", "only + or - and a digit may follow | or >", "begin the text on the next line"),
    _Words("an anchor", "an anchor (&) without a name", "put text that begins with & in quotes"),
    _Words("an alias", "an alias (*) without a name", "put text that begins with * in quotes"),
    _Words("tag", *_TAG),
    _Words("directive", "an unknown directive (%)", "put text that begins with % in quotes"),
    _Words("incompatible YAML", "a version of YAML that is not known", "write %YAML 1.2, or nothing"),
    _Words("expected '-' indicator", *_ITEM),
    _Words("block collection", *_ITEM),
    _Words("block mapping", "this does not belong to the mapping around it", _INDENT),
    _Words("document start", "this does not belong to the document", "check the indentation; one job a file"),
    _Words("node content", "a value is missing here", "put text that begins with a bracket or comma in quotes"),
)


def syntax_problem(error: yaml.YAMLError, text: str) -> Problem:
    """Return the problem behind an error of PyYAML, without any of the text, which may be a secret."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return Problem("", "the document is not YAML", "only text in UTF-8 can be read")
    complaint = f"{error.context or ''}: {error.problem or ''}"
    mark = error.problem_mark or error.context_mark
    if "cannot start any token" in complaint and mark is not None:
        words = _bad_start(text, mark.line, mark.column)
    else:
        words = next((words for words in _COMPLAINTS if words.sign in complaint), _UNKNOWN)
    if words.at_start and error.context_mark is not None:
        mark = error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (None, None)
    return Problem("", words.message, words.hint, line, column)


_UNKNOWN = _Words("", "this is not YAML", "check quotes, brackets and indentation")


def _bad_start(text: str, line: int, column: int) -> _Words:
    lines = text.splitlines()
    character = lines[line][column : column + 1] if line < len(lines) else ""
    if character == "\t":
        return _Words("", "a tab cannot indent", "use spaces")
    return _Words("", f"a value cannot begin with {character}", "put it in quotes")
