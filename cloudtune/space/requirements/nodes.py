"""A parsed requirement as a tree."""

from collections.abc import Iterator
from dataclasses import dataclass, fields

from cloudtune.space.parameters import Scalar


@dataclass(frozen=True, slots=True)
class Node:
    """A part of a requirement.

    Attributes:
        at: the index in the text of the character that it begins with; of an operation, its operator.
    """

    at: int

    def parts(self) -> Iterator["Node"]:
        """Yield the nodes directly below."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Node):
                yield value
            elif isinstance(value, tuple):
                yield from (part for part in value if isinstance(part, Node))

    def all(self) -> Iterator["Node"]:
        """Yield this node and every one below."""
        yield self
        for part in self.parts():
            yield from part.all()


@dataclass(frozen=True, slots=True)
class Literal(Node):
    """A number, text, true, false or null."""

    value: Scalar


@dataclass(frozen=True, slots=True)
class Name(Node):
    """The value of a parameter."""

    name: str


@dataclass(frozen=True, slots=True)
class Rank(Node):
    """The place of a text in an order of texts, from 0; made of an ordinal parameter that is compared by order."""

    of: Node
    order: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Operation(Node):
    """An arithmetic operation or function of numbers: ``+ - * / // % **``, ``neg``, or a name of `FUNCTIONS`."""

    operator: str
    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Comparison(Node):
    """Two values compared by ``== != < <= > >=``."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Member(Node):
    """Whether a value is one of a list."""

    of: Node
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Not(Node):
    """The opposite of a condition."""

    of: Node


@dataclass(frozen=True, slots=True)
class Both(Node):
    """Whether both conditions hold; the second is not looked at where the first does not."""

    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Either(Node):
    """Whether one of two conditions holds; the second is not looked at where the first does."""

    left: Node
    right: Node


FUNCTIONS: dict[str, tuple[int, int]] = {
    "abs": (1, 1),
    "ceil": (1, 1),
    "exp": (1, 1),
    "floor": (1, 1),
    "log": (1, 1),
    "log10": (1, 1),
    "log2": (1, 1),
    "max": (2, 50),
    "min": (2, 50),
    "sqrt": (1, 1),
}
"""The functions, with the least and the greatest number of their arguments; log is the natural logarithm."""
