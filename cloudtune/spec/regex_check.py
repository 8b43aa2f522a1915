"""Try a user's regex of a metric on printed numbers, and on lines whose search may take long.

The lines are generated from the regex: with a number in place of its group, or with one of its repeats repeated many
times and followed by a character that matches nowhere.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from re import _parser  # type: ignore[attr-defined]  # the only parser of this syntax
from typing import Any, Literal

from cloudtune.trial.matching import SEARCH
from cloudtune.trial.matching_process import SEARCH_TIME

NUMBERS = ("0.5", "1.5e-05", "-3", "1,234.5")
"""The numbers that a regex is tried on."""

_MANY = 1000  # times that a repeat is repeated to find out whether it takes long
_ENDLESS = 32  # a repeat that may be longer is tried
_NO_CHARACTER = "\x01"
_ANY = "a0 .-=:_,;/xZ%'\"()[]{}|!?*+<>@#$&~^\\\t"
_MEND = r"(\S+) takes all that stands there; name=number and name: number are found without a regex"


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem of a regex.

    Attributes:
        fatal: whether the regex can never read a number.
        message: the problem, and how to repair it.
    """

    fatal: bool
    message: str


@lru_cache(maxsize=256)
def findings(regex: str) -> tuple[Finding, ...]:
    """Return the problems of a metric's regex; none if it reads the numbers that it is tried on.

    Args:
        regex: which compiles and has a group.
    """
    try:
        parsed = _parsed(regex)
        lines = {number: _Line(number).text(parsed) for number in NUMBERS}
        slow = next((line for line in _long_lines(parsed) if SEARCH.find({"": regex}, [line])[1]), None)
    except (RecursionError, OverflowError, MemoryError, re.error, KeyError):
        return ()  # of a kind that no lines can be made for
    if slow is not None:
        shown = slow[:40].replace(_NO_CHARACTER, "")
        why = "repeats within repeats make it try every way to divide such a line"
        return (Finding(False, f"its search takes more than {SEARCH_TIME} s on lines such as {shown + '…'!r}, which are not searched then: {why}"),)  # fmt: skip
    return tuple(_tried(regex, lines))


def _tried(regex: str, lines: dict[str, str]) -> Iterator[Finding]:
    taken = {number: _taken(regex, line) for number, line in lines.items()}
    texts = [text for found in taken.values() for text in found]
    if texts and not any(texts):
        yield Finding(True, f"its group takes nothing, as from {lines[NUMBERS[0]]!r}: a lazy group needs something behind it; {_MEND}")  # fmt: skip
        return
    cut = {number: text for number, found in taken.items() for text in found if _is_cut(number, text)}
    if cut:
        said = ", ".join(f"{text or 'nothing'} of {number}" for number, text in cut.items())
        yield Finding(False, f"it takes {said}; {_MEND}")
    elif not texts and re.compile(regex).groups > 1:
        yield Finding(False, f"its first group is taken for the number, and takes none of {'; '.join(NUMBERS)}: write (?:…) for the groups before it")  # fmt: skip


def _taken(regex: str, line: str) -> list[str]:
    """Return what the group matches at the end of a line, and before further text."""
    found, _ = SEARCH.find({"": regex}, [line, f"{line} next"])
    return [text for _, _, text in found[:2]]


def _is_cut(number: str, text: str) -> bool:
    return text != number and text in number


def _long_lines(parsed: Sequence[Any]) -> Iterator[str]:
    """Yield a line for each unbounded repeat."""
    repeat = 0
    while True:
        line = _Line(None, repeat)
        text = line.text(parsed)
        if line.pumped is None:
            return
        yield text
        repeat += 1


def _parsed(regex: str) -> Sequence[Any]:
    parsed: Sequence[Any] = _parser.parse(regex)
    return parsed


class _Pumped(Exception):
    """The line is complete as far as it is needed."""


class _Line:
    """Generates a line that a regex matches.

    Args:
        number: replaces the first group; None for a text that the group matches.
        repeat: index of the unbounded repeat that is repeated many times and ends the line; None for none.

    Attributes:
        pumped: whether there was such a repeat; None until it was met.
    """

    def __init__(self, number: str | None, repeat: int | None = None) -> None:
        self._number = number
        self._left = repeat
        self._groups: dict[int, str] = {}
        self._made: list[str] = []
        self.pumped: Literal[True] | None = None

    def text(self, parsed: Sequence[Any]) -> str:
        """Return the line.

        Raises:
            KeyError: the regex has a construct that is not supported here.
        """
        try:
            self._add(parsed)
        except _Pumped:
            return "".join(self._made) + _NO_CHARACTER
        return "".join(self._made)

    def _add(self, parsed: Sequence[Any]) -> None:
        for code, argument in parsed:
            self._add_one(str(code), argument)

    def _add_one(self, code: str, argument: Any) -> None:
        match code:
            case "LITERAL" | "NOT_LITERAL" | "ANY" | "IN":
                self._made.append(_character(code, argument))
            case "BRANCH":
                self._add(argument[1][0])
            case "SUBPATTERN":
                self._add_group(argument[0], argument[3])
            case "ATOMIC_GROUP":
                self._add(argument)
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                self._add_repeat(*argument)
            case "GROUPREF":
                self._made.append(self._groups.get(argument, ""))
            case "ASSERT" if argument[0] < 0:
                self._add(argument[1])
            case "AT" | "ASSERT" | "ASSERT_NOT":
                return
            case _:
                raise KeyError(code)

    def _add_group(self, group: int | None, parsed: Sequence[Any]) -> None:
        start = len(self._made)
        if group == 1 and self._number is not None:
            self._made.append(self._number)
        else:
            self._add(parsed)
        if group is not None:
            self._groups[group] = "".join(self._made[start:])

    def _add_repeat(self, least: int, most: int, parsed: Sequence[Any]) -> None:
        if most >= _ENDLESS and self._left is not None:
            self._left -= 1
            if self._left < 0:
                self.pumped, self._left = True, None
                self._add(parsed)
                start = len(self._made)
                self._add(parsed)
                self._made += self._made[start:] * (_MANY - 2)
                raise _Pumped
        for _ in range(max(least, 1 if most else 0)):
            self._add(parsed)


def _character(code: str, argument: Any) -> str:
    if code == "LITERAL":
        return chr(argument)
    if code == "NOT_LITERAL":
        return next(char for char in _ANY if ord(char) != argument)
    return "a" if code == "ANY" else _one_of(argument)


def _one_of(items: Sequence[Any]) -> str:
    """Return a character of a class."""
    negated = str(items[0][0]) == "NEGATE"
    own: list[str] = [chr(argument if str(code) == "LITERAL" else argument[0]) for code, argument in items if str(code) in ("LITERAL", "RANGE")]  # fmt: skip
    characters: list[str] = [*_ANY, *own]
    for char in characters:
        if any(_holds(str(code), argument, char) for code, argument in items) != negated:
            return char
    raise KeyError("IN")


_CATEGORIES: Mapping[str, Callable[[str], bool]] = {
    "DIGIT": str.isdecimal,
    "SPACE": str.isspace,
    "WORD": lambda char: char.isalnum() or char == "_",
}


def _holds(code: str, argument: Any, char: str) -> bool:
    if code == "LITERAL":
        return ord(char) == int(argument)
    if code == "RANGE":
        return int(argument[0]) <= ord(char) <= int(argument[1])
    if code == "CATEGORY":
        name = str(argument).removeprefix("CATEGORY_")
        return bool(_CATEGORIES[name.removeprefix("NOT_")](char)) != name.startswith("NOT_")
    return False  # NEGATE
