"""Check that a requirement suits a space: names that it has, numbers where numbers are needed, values that occur."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from cloudtune.space.parameters import Categorical, Constant, Ordinal, Parameter, Scalar, same_scalar
from cloudtune.space.requirements.errors import RequirementError
from cloudtune.space.requirements.exact import Exact, Undefined
from cloudtune.space.requirements.nodes import (
    Both,
    Comparison,
    Either,
    Literal,
    Member,
    Name,
    Node,
    Not,
    Operation,
    Rank,
)
from cloudtune.space.requirements.reading import quoted

_CONDITIONS = (Comparison, Member, Not, Both, Either)
_OPPOSITES = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_NUMBER, _TEXT, _BOOLEAN, _NULL = "a number", "a text", "true or false", "null"


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of a parameter.

    Attributes:
        kinds: of its values.
        values: all of them, where they are listed; else None.
        order: of the texts of an ordinal parameter; () for none.
    """

    kinds: frozenset[str]
    values: tuple[Scalar, ...] | None
    order: tuple[Scalar, ...]


def checked(text: str, node: Node, variants: Mapping[str, Sequence[Parameter]]) -> Node:
    """Return a requirement's tree as it is evaluated for a space.

    Args:
        text: the requirement, for messages.
        node: its tree.
        variants: the parameters of each name.

    Raises:
        RequirementError: it does not suit the space.
    """
    checker = _Checker(text, {name: _known(parameters) for name, parameters in variants.items()})
    for part in node.all():
        if isinstance(part, Name):
            checker.check_name(part)
    if not any(isinstance(part, Name) for part in node.all()):
        raise RequirementError(text, None, "names no parameter, so it says nothing of a trial")
    return checker.condition(node)


def _known(parameters: Sequence[Parameter]) -> _Known:
    listed = [_listed(parameter) for parameter in parameters]
    if any(values is None for values in listed):
        own = [each for values in listed for each in values or ()]
        return _Known(frozenset({_NUMBER, *map(_kind, own)}), None, ())
    values = tuple(each for own in listed for each in own or ())
    first = parameters[0]
    ordered = isinstance(first, Ordinal) and all(isinstance(value, str) for value in first.values)
    order = (
        first.values if ordered and isinstance(first, Ordinal) and all(own == first.values for own in listed) else ()
    )
    return _Known(frozenset(map(_kind, values)), values, order)


def _listed(parameter: Parameter) -> tuple[Scalar, ...] | None:
    match parameter:
        case Categorical() | Ordinal():
            return parameter.values
        case Constant():
            return (parameter.value,)
        case _:
            return None


def _kind(value: Scalar) -> str:
    match value:
        case bool():
            return _BOOLEAN
        case int() | float():
            return _NUMBER
        case str():
            return _TEXT
        case _:
            return _NULL


class _Checker:
    def __init__(self, text: str, known: Mapping[str, _Known]) -> None:
        self._text, self._known = text, known

    def _wrong(self, at: int, message: str) -> RequirementError:
        return RequirementError(self._text, at, message)

    def check_name(self, node: Name) -> None:
        """Raise for a name that the space has not."""
        if node.name in self._known:
            return
        longer = [name for name in self._known if self._text.startswith(name, node.at) and quoted(name) != name]
        if longer:
            raise self._wrong(node.at, f"write {longer[0]!r} in backquotes: {quoted(longer[0])}")
        texts = [name for name, known in self._known.items() if node.name in (known.values or ())]
        if texts:
            raise self._wrong(
                node.at, f"the space has no parameter {node.name!r}; write the value in quotes: '{node.name}'"
            )
        raise self._wrong(node.at, f"the space has no parameter {node.name!r}; {_nearest(node.name, self._known)}")

    # Conditions

    def condition(self, node: Node, *, negated: bool = False) -> Node:
        """Return the tree of a condition, or of its opposite, with ``not`` before values and memberships alone."""
        match node:
            case Both(at=at, left=left, right=right) | Either(at=at, left=left, right=right):
                both = isinstance(node, Both) != negated
                joined = self.condition(left, negated=negated), self.condition(right, negated=negated)
                return Both(at, *joined) if both else Either(at, *joined)
            case Not(of=of):
                return self.condition(of, negated=not negated)
            case Comparison():
                found = self._comparison(node)
                return replace(found, operator=_OPPOSITES[found.operator]) if negated else found
        plain = self._member(node) if isinstance(node, Member) else self._boolean(node)
        return Not(node.at, plain) if negated else plain

    def _member(self, node: Member) -> Member:
        found = self._value(node.of)
        self._check_values(node.at, node.of, node.values)
        return Member(node.at, found, node.values)

    def _boolean(self, node: Node) -> Node:
        found = self._value(node)
        kinds = self._kinds(node)
        if _BOOLEAN not in kinds:
            raise self._wrong(
                node.at, f"{self._words(node)} is {_any(kinds)}, not a condition; compare it, as in x > 0"
            )
        return found

    def _comparison(self, node: Comparison) -> Comparison:
        left, right = self._value(node.left), self._value(node.right)
        if node.operator in ("==", "!="):
            for side, other in ((node.left, node.right), (node.right, node.left)):
                if isinstance(other, Literal):
                    self._check_values(node.at, side, (other.value,))
            if not self._kinds(node.left) & self._kinds(node.right):
                kinds = f"{_any(self._kinds(node.left))} and {_any(self._kinds(node.right))}"
                raise self._wrong(node.at, f"{kinds} are never equal")
            return Comparison(node.at, node.operator, left, right)
        order = self._order(node.left) or self._order(node.right)
        if order:
            return Comparison(
                node.at,
                node.operator,
                self._ranked(node, node.left, left, order),
                self._ranked(node, node.right, right, order),
            )
        for side in (node.left, node.right):
            self._check_number(side, f"{node.operator} compares numbers, or texts of one ordinal parameter")
        return Comparison(node.at, node.operator, left, right)

    def _order(self, node: Node) -> tuple[Scalar, ...]:
        return self._known[node.name].order if isinstance(node, Name) else ()

    def _ranked(self, comparison: Comparison, node: Node, found: Node, order: tuple[Scalar, ...]) -> Node:
        if isinstance(node, Literal) and node.value in order:
            return Literal(node.at, order.index(node.value))
        if self._order(node) == order:
            return Rank(node.at, found, order)
        known = ", ".join(map(repr, order))
        raise self._wrong(comparison.at, f"{self._words(node)} has no place in the order {known}")

    def _check_values(self, at: int, node: Node, values: Iterable[Scalar]) -> None:
        """Raise for values that a parameter with listed values never takes."""
        listed = self._known[node.name].values if isinstance(node, Name) else None
        if listed is None:
            for value in values:
                if _kind(value) not in self._kinds(node):
                    message = f"{self._words(node)} is {_any(self._kinds(node))}, and never {value!r}"
                    raise self._wrong(at, message)
            return
        for value in values:
            if not any(same_scalar(value, each) for each in listed):
                hint = _nearest(str(value), [str(each) for each in listed])
                raise self._wrong(at, f"{self._words(node)} never takes the value {value!r}; {hint}")

    # Values

    def _value(self, node: Node) -> Node:
        """Check a tree that must have a value, and return it."""
        if isinstance(node, _CONDITIONS):
            raise self._wrong(node.at, "a condition stands where a value is needed; join conditions by and, or, not")
        if isinstance(node, Operation):
            for operand in node.operands:
                self._value(operand)
                self._check_number(operand, f"{_sign(node)} needs numbers")
            if not any(isinstance(part, Name) for part in node.all()):
                try:
                    Exact({}).value(node)
                except Undefined:
                    message = (
                        f"{_sign(node)} has no value here: it divides by zero, is too large, or is not a real number"
                    )
                    raise self._wrong(node.at, message) from None
        return node

    def _check_number(self, node: Node, why: str) -> None:
        kinds = self._kinds(node)
        if _NUMBER not in kinds:
            raise self._wrong(node.at, f"{self._words(node)} is {_any(kinds)}; {why}")

    def _kinds(self, node: Node) -> frozenset[str]:
        match node:
            case Name(name=name):
                return self._known[name].kinds
            case Literal(value=value):
                return frozenset({_kind(value)})
            case _:
                return frozenset({_NUMBER})

    def _words(self, node: Node) -> str:
        match node:
            case Name(name=name):
                return repr(name)
            case Literal(value=value):
                return repr(value)
            case _:
                return "the result"


def _nearest(word: str, words: Iterable[str]) -> str:
    from cloudtune.errors import suggest  # noqa: PLC0415  # only after a mistake

    return suggest(word, sorted(words))


def _any(kinds: frozenset[str]) -> str:
    return " or ".join(sorted(kinds))


def _sign(node: Operation) -> str:
    return "-" if node.operator == "neg" else node.operator
