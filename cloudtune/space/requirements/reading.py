"""Read a requirement's text: a tokenizer and a parser by precedence, bounded in length and depth.

The precedence is Python's: ``or``, ``and``, ``not``, comparisons (also chained, and ``in [...]``), ``+ -``, ``* / // %``,
the sign, ``**``. Names are words, also with dots (``model.width``); any other name stands in backquotes.
"""

import re
from dataclasses import dataclass

from cloudtune.space.parameters import Scalar
from cloudtune.space.requirements.errors import RequirementError
from cloudtune.space.requirements.nodes import (
    FUNCTIONS,
    Both,
    Comparison,
    Either,
    Literal,
    Member,
    Name,
    Node,
    Not,
    Operation,
)

LONGEST = 2_000
"""Characters of a requirement."""

DEEPEST = 40
"""Levels of brackets, signs and powers within each other."""

MOST = 100
"""Operators of a requirement: a chain of them is as deep a tree, through which every evaluation goes."""

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<number>(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
    |(?P<word>[^\W\d]\w*(?:\.[^\W\d]\w*)*)
    |(?P<quoted>`(?:[^`\\]|\\.)+`)
    |(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<sign>\*\*|//|==|!=|<=|>=|[-+*/%<>()\[\],])
    )""",
    re.VERBOSE,
)
_WORDS = ("and", "or", "not", "in")
_VALUES: dict[str, Scalar] = {"true": True, "True": True, "false": False, "False": False, "null": None, "None": None}
_COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
_HINTS = {
    "=": "write == to compare",
    "&": "write and",
    "|": "write or",
    "!": "write not, or !=",
    "^": "write ** for a power",
    "`": "a name in backquotes ends with a backquote",
    '"': "a text ends with the quote that it begins with",
    "'": "a text ends with the quote that it begins with",
}
_BINARY = {"+": 1, "-": 1, "*": 2, "/": 2, "//": 2, "%": 2}
_SIGNED, _POWER = 3, 4


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


def read(text: str) -> Node:
    """Return the tree of a requirement.

    Raises:
        RequirementError: it is no requirement, or too long or deep for one.
    """
    return _Reader(text).whole()


def _tokens(text: str) -> list[_Token]:
    if len(text) > LONGEST:
        message = f"has {len(text)} characters, {LONGEST} at most are read; split it into several requirements"
        raise RequirementError(text, None, message)
    found: list[_Token] = []
    at = 0
    while at < len(text) and text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            at += len(text[at:]) - len(text[at:].lstrip())
            hint = _HINTS.get(text[at], "allowed are numbers, texts in quotes, names, + - * / // % ** < <= > >= == !=")
            raise RequirementError(text, at, f"cannot read {text[at]!r}; {hint}")
        kind = str(match.lastgroup)
        found.append(_Token(kind, match.group(kind), match.start(kind)))
        at = match.end()
    return [*found, _Token("end", "", len(text.rstrip()))]


class _Reader:
    """Reads one requirement from its tokens."""

    def __init__(self, text: str) -> None:
        self._text, self._tokens, self._index, self._depth = text, _tokens(text), 0, 0

    def whole(self) -> Node:
        if self._next.kind == "end":
            raise RequirementError(self._text, None, "says nothing; write a condition such as batch * width <= 4096")
        node = self._or()
        if self._next.kind != "end":
            raise self._wrong(self._next, f"expected the end, or an operator, before {self._next.text!r}")
        chained = [token for token in self._tokens if token.kind == "sign" or token.text in ("and", "or", "not")]
        if sum(token.text not in ("(", ")", "[", "]", ",") for token in chained) > MOST:
            raise self._wrong(chained[MOST], f"has more than {MOST} operators; split it into several requirements")
        return node

    # Tokens

    @property
    def _next(self) -> _Token:
        return self._tokens[self._index]

    def _take(self) -> _Token:
        token = self._next
        self._index += 1
        return token

    def _at(self, *texts: str) -> bool:
        return self._next.kind in ("sign", "word") and self._next.text in texts

    def _expect(self, text: str, before: str) -> None:
        if not self._at(text):
            raise self._wrong(self._next, f"expected {text!r} {before}")
        self._take()

    def _wrong(self, token: _Token, message: str) -> RequirementError:
        return RequirementError(self._text, token.at, message)

    def _deeper(self, token: _Token) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise self._wrong(token, f"is nested deeper than {DEEPEST} levels; split it into several requirements")

    # Conditions

    def _or(self) -> Node:
        node = self._and()
        while self._at("or"):
            node = Either(self._take().at, node, self._and())
        return node

    def _and(self) -> Node:
        node = self._not()
        while self._at("and"):
            node = Both(self._take().at, node, self._not())
        return node

    def _not(self) -> Node:
        if not self._at("not"):
            return self._comparison()
        token = self._take()
        self._deeper(token)
        node = Not(token.at, self._not())
        self._depth -= 1
        return node

    def _comparison(self) -> Node:
        left = self._sum(1)
        if self._at("in", "not"):
            return self._member(left)
        node: Node | None = None
        while self._at(*_COMPARISONS):
            token = self._take()
            right = self._sum(1)
            link = Comparison(token.at, token.text, left, right)
            node = link if node is None else Both(token.at, node, link)
            left = right
        if node is not None and self._at("in", "not"):
            raise self._wrong(self._next, "a comparison cannot be followed by in; put it into brackets")
        return left if node is None else node

    def _member(self, of: Node) -> Node:
        first = self._take()
        if first.text == "not":
            self._expect("in", "after not")
        self._expect("[", "after in, as in [1, 2]")
        values: list[Scalar] = []
        while not self._at("]"):
            values.append(self._value())
            if not self._at("]"):
                self._expect(",", "or ']' after a value of the list")
        self._take()
        if not values:
            raise self._wrong(first, "the list is empty; name the values")
        node = Member(first.at, of, tuple(values))
        return Not(first.at, node) if first.text == "not" else node

    def _value(self) -> Scalar:
        token = self._take()
        negative = token.kind == "sign" and token.text == "-"
        if negative:
            token = self._take()
        if token.kind == "number":
            number = self._number(token)
            return -number if negative else number
        if token.kind == "text" and not negative:
            return _unquoted(token.text)
        if token.kind == "word" and token.text in _VALUES and not negative:
            return _VALUES[token.text]
        raise self._wrong(token, "a list has numbers, texts in quotes, true, false and null alone")

    # Arithmetic

    def _sum(self, least: int) -> Node:
        node = self._signed()
        while self._next.kind == "sign" and _BINARY.get(self._next.text, 0) >= least:
            token = self._take()
            node = Operation(token.at, token.text, (node, self._sum(_BINARY[token.text] + 1)))
        return node

    def _signed(self) -> Node:
        if not self._at("-", "+"):
            return self._powered()
        token = self._take()
        self._deeper(token)
        node = self._signed()
        self._depth -= 1
        return Operation(token.at, "neg", (node,)) if token.text == "-" else node

    def _powered(self) -> Node:
        node = self._atom()
        if not self._at("**"):
            return node
        token = self._take()
        self._deeper(token)
        node = Operation(token.at, "**", (node, self._signed()))
        self._depth -= 1
        return node

    def _atom(self) -> Node:
        token = self._take()
        match token.kind:
            case "number":
                return Literal(token.at, self._number(token))
            case "text":
                return Literal(token.at, _unquoted(token.text))
            case "quoted":
                return Name(token.at, _unquoted(token.text))
            case "word":
                return self._word(token)
            case "sign" if token.text == "(":
                return self._bracketed(token)
            case "end":
                raise self._wrong(token, "it ends where a value is expected")
        raise self._wrong(token, f"expected a value before {token.text!r}")

    def _bracketed(self, token: _Token) -> Node:
        self._deeper(token)
        node = self._or()
        self._expect(")", f"for the bracket at character {token.at + 1}")
        self._depth -= 1
        return node

    def _word(self, token: _Token) -> Node:
        if self._at("("):
            return self._call(token)
        if token.text in _VALUES:
            return Literal(token.at, _VALUES[token.text])
        if token.text in _WORDS:
            raise self._wrong(
                token, f"expected a value before {token.text!r}; a parameter of this name stands in backquotes"
            )
        return Name(token.at, token.text)

    def _call(self, token: _Token) -> Node:
        if token.text not in FUNCTIONS:
            raise self._wrong(token, f"there is no function {token.text!r}; there are {', '.join(FUNCTIONS)}")
        self._deeper(token)
        self._take()
        operands = [self._or()]
        while self._at(","):
            self._take()
            operands.append(self._or())
        self._expect(")", f"after the arguments of {token.text}")
        self._depth -= 1
        least, most = FUNCTIONS[token.text]
        if not least <= len(operands) <= most:
            count = f"{least}" if least == most else f"{least} to {most}"
            raise self._wrong(token, f"{token.text} takes {count} argument{'s' * (most > 1)}, not {len(operands)}")
        return Operation(token.at, token.text, tuple(operands))

    def _number(self, token: _Token) -> int | float:
        digits = token.text.replace("_", "")
        if len(digits) > 40:
            raise self._wrong(token, "a number has 40 digits at most")
        whole = digits.isdecimal()
        number = int(digits) if whole else float(digits)
        if not abs(number) < 1e300:
            raise self._wrong(token, "numbers must be below 1e300")
        return number


def quoted(name: str) -> str:
    """Return a parameter's name as a requirement has it: as it stands, or in backquotes."""
    match = _TOKEN.fullmatch(name)
    plain = match is not None and match.lastgroup == "word" and name not in (*_WORDS, *_VALUES)
    return name if plain else "`" + re.sub(r"([`\\])", r"\\\1", name) + "`"


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1])
