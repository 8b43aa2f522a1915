"""Place a trial's parameters in a command: a line for the shell, or a program with its arguments."""

# ruff: noqa: PLC0415  # what only some trials need is imported when they need it

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .annotations import Place, Scalar


def text_of(value: Scalar) -> str:
    """Return a parameter's value as a word of a command line: JSON's true, false and null; texts as they are."""
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    return repr(value).lower() if isinstance(value, bool) else repr(value)


def place(command: str | Sequence[str], parameters: Mapping[str, Scalar], names: Sequence[str]) -> list[str]:
    """Return the arguments to execute for a command and a trial's parameters; see `compile_command`."""
    return compile_command(command, names)(parameters)


def compile_command(command: str | Sequence[str], names: Sequence[str]) -> Place:
    """Return a function that places a trial's parameters in a command and returns the arguments to execute.

    A text is a line for the shell, and values in it are quoted as their place needs it, also between quotes; a
    list is a program and its arguments. ``{name}`` is a parameter's place if the space has that name, and
    ``{{name}}`` means the text ``{name}``; all other braces stay as they are, ``${name}`` too. Parameters without
    a place follow as ``--name value``, or ``--name=value`` where the value could be taken for an option itself.

    Where a parameter does not exist in a trial, its place is empty. A word that is ``{name}`` or
    ``--option={name}`` vanishes then, and so does ``--option {name}``.

    ``{seed}`` is the place of the trial's seed, unless the space has a parameter of that name.

    Args:
        command: the text or list.
        names: all names of the space.
    """
    return _compile_line(command, names) if isinstance(command, str) else _compile_words(command, names)


SEED = "seed"  # the name of the place of a trial's seed

_HOLE = "\0"  # stands for a place in a command, which cannot hold this character


def _holes(text: str, names: Sequence[str]) -> tuple[str, list[str]]:
    """Return a text with a hole for each place, and the names of the places in their order."""
    known = "|".join(re.escape(name) for name in sorted({*names, SEED}, key=len, reverse=True))
    places: list[str] = []

    def hole(match: re.Match[str]) -> str:
        if match.group("literal"):
            return "{" + match.group("literal") + "}"
        places.append(match.group("name"))
        return _HOLE

    pattern = rf"(?<!\$)\{{\{{(?P<literal>{known})\}}\}}|(?<!\$)(?<!\$\{{)\{{(?P<name>{known})\}}"
    return re.sub(pattern, hole, text), places


_GOES_WHOLE = re.compile(r"""["']?(?:[^\0=]+=["']?)?\0["']*\Z""")
"""Matches a word that vanishes with the value of its hole."""


def _is_option(word: str) -> bool:
    return word.lstrip("-")[:1] not in ("", word[:1]) and "=" not in word and _HOLE not in word


def _compile_words(command: Sequence[str], names: Sequence[str]) -> Place:
    words = [(template.split(_HOLE), places) for template, places in (_holes(word, names) for word in command)]
    placed = {name for _, places in words for name in places}

    def arguments(parameters: Mapping[str, Scalar], seed: int | None = None) -> list[str]:
        values = _with_seed(parameters, seed, names)
        result: list[str] = []
        for index, (pieces, places) in enumerate(words):
            if len(places) == 1 and places[0] not in values and _GOES_WHOLE.match(_HOLE.join(pieces)):
                if pieces == ["", ""] and index and _is_option(_HOLE.join(words[index - 1][0])):
                    result.pop()
                continue
            word = pieces[0]
            for name, piece in zip(places, pieces[1:]):  # noqa: B905  # not in Python 3.8
                word += (text_of(values[name]) if name in values else "") + piece
            result.append(word)
        for name, value in parameters.items():
            if name not in placed:
                result += _option(name, value)
        return result

    return arguments


def _with_seed(parameters: Mapping[str, Scalar], seed: int | None, names: Sequence[str]) -> Mapping[str, Scalar]:
    return parameters if seed is None or SEED in names else {**parameters, SEED: seed}


def _option(name: str, value: Scalar) -> list[str]:
    """Return a parameter as an option; argparse takes only plain negative numbers for a value of their own."""
    text = text_of(value)
    if text.startswith("-") and not re.match(r"-\d*\.?\d+\Z", text):
        return [f"--{name}={text}"]
    return ["--" + name, text]


_WORD = re.compile(r"""(?:[^\s'"\\;|&<>()]|\\.|'[^']*'|"(?:[^"\\]|\\.)*")+""", re.DOTALL)
_QUOTED = re.compile(r"""\\.|'[^']*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)


def _compile_line(line: str, names: Sequence[str]) -> Place:
    import shlex

    template, places = _holes(re.sub(r"(?:\\\n|\s)+\Z", "", line), names)
    quotings = _quotings(template)
    spans = _spans(template)
    start = "exec " if _is_simple(template) else ""
    placed = set(places)
    filled: dict[tuple[int, ...], list[str]] = {}  # by the holes that stay empty: what is between the others

    def arguments(parameters: Mapping[str, Scalar], seed: int | None = None) -> list[str]:
        values = _with_seed(parameters, seed, names)
        absent = tuple(index for index, name in enumerate(places) if name not in values)
        if absent not in filled:
            filled[absent] = _without(template, [spans[index] for index in absent]).split(_HOLE)
        pieces = iter(filled[absent])
        result = start + next(pieces)
        for index, name in enumerate(places):
            if name in values:
                result += quotings[index](text_of(values[name])) + next(pieces)
        for name, value in parameters.items():
            if name not in placed:
                result += "".join(" " + shlex.quote(word) for word in _option(name, value))
        return ["/bin/sh", "-c", result]

    return arguments


def _quotings(template: str) -> list[Callable[[str], str]]:
    """Return the quoting of each hole's value for the shell: in double quotes, in single ones, or in none."""
    import shlex

    quotings: dict[int, Callable[[str], str]] = {match.start(): shlex.quote for match in re.finditer(_HOLE, template)}
    for quoted in _QUOTED.finditer(template):
        for at in range(quoted.start(), quoted.end()):
            if at in quotings and quoted.group()[0] in "'\"":
                quotings[at] = _in_double_quotes if quoted.group()[0] == '"' else _in_single_quotes
    return [quotings[at] for at in sorted(quotings)]


def _in_double_quotes(text: str) -> str:
    return re.sub(r'([\\"$`])', r"\\\1", text)


def _in_single_quotes(text: str) -> str:
    return text.replace("'", "'\"'\"'")


def _spans(template: str) -> list[tuple[int, int]]:
    """Return for each hole the part of the line that vanishes with its value: start and end."""
    words = list(_WORD.finditer(template))
    spans = []
    for hole in re.finditer(_HOLE, template):
        span = hole.span()
        for before, word in zip([None, *words], words):  # noqa: B905  # not in Python 3.8
            if word.start() <= hole.start() < word.end() and _GOES_WHOLE.match(word.group()):
                pair = before is not None and "=" not in word.group() and _is_option(before.group())
                first = before if before is not None and pair and _blank(template, before, word) else word
                rest = template[word.end() :]
                span = first.start(), len(template) - len(rest.lstrip(" \t"))
        spans.append(span)
    return spans


def _blank(template: str, before: re.Match[str], word: re.Match[str]) -> bool:
    """Return whether only blanks separate two words, so that they belong to one command."""
    return not template[before.end() : word.start()].strip(" \t")


def _without(text: str, spans: Sequence[tuple[int, int]]) -> str:
    for start, end in reversed(spans):
        text = text[:start] + text[end:]
    return text


# Words that the shell itself interprets, or that are its built-in commands.
_SHELL_WORDS = frozenset(
    ". : alias bg break case cd command continue do done echo elif else esac eval exec exit export false fg fi "  # noqa: SIM905  # a list would be 50 lines
    "for getopts hash if in jobs kill local printf pwd read readonly return set shift source test then time "
    "times trap true type ulimit umask unalias unset until wait while".split()
)


def _is_simple(line: str) -> bool:
    """Return whether a line starts one program, which may replace the shell by ``exec``, so that signals reach it."""
    first = re.match(r"\s*([\w./-]+)(?=\s|$)", line)
    return first is not None and first.group(1) not in _SHELL_WORDS and not re.search(r"[;|&\n()`]", line)
