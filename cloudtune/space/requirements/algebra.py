"""Evaluate a requirement's tree over any kind of values: of one trial, of a box of trials, of many trials at once."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from cloudtune.space.parameters import Scalar
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

Value = TypeVar("Value")
Truth = TypeVar("Truth")


class Algebra(ABC, Generic[Value, Truth]):
    """What the operations of a requirement do with one kind of values.

    All kinds agree in this: operands are evaluated from the left, and where one of them is a parameter that does not
    exist in the trial, or has no value (a division by zero, a root of a negative number, a number beyond 1e308), the
    evaluation ends there. The first makes the requirement hold, the second makes it fail.
    """

    @abstractmethod
    def literal(self, value: Scalar) -> Value:
        """Return a value that stands in the text."""

    @abstractmethod
    def parameter(self, name: str) -> Value:
        """Return the value of a parameter."""

    @abstractmethod
    def rank(self, value: Value, order: Sequence[Scalar]) -> Value:
        """Return the place of a value in an order, from 0."""

    @abstractmethod
    def operation(self, operator: str, operands: Sequence[Value]) -> Value:
        """Return the result of an operation of `Operation`."""

    @abstractmethod
    def comparison(self, operator: str, left: Value, right: Value) -> Truth:
        """Return whether a comparison holds."""

    @abstractmethod
    def member(self, value: Value, values: Sequence[Scalar]) -> Truth:
        """Return whether a value is one of several."""

    @abstractmethod
    def truth(self, value: Value) -> Truth:
        """Return a boolean value as a condition."""

    @abstractmethod
    def negation(self, truth: Truth) -> Truth:
        """Return the opposite."""

    @abstractmethod
    def both(self, left: Truth, right: Callable[[], Truth]) -> Truth:
        """Return whether both hold; the right one counts only where the left one holds."""

    @abstractmethod
    def either(self, left: Truth, right: Callable[[], Truth]) -> Truth:
        """Return whether one holds; the right one counts only where the left one does not."""

    # Evaluation

    def condition(self, node: Node) -> Truth:
        """Return the truth of a tree."""
        match node:
            case Comparison(operator=operator, left=left, right=right):
                return self.comparison(operator, self.value(left), self.value(right))
            case Both(left=left, right=right):
                return self.both(self.condition(left), lambda: self.condition(right))
            case Either(left=left, right=right):
                return self.either(self.condition(left), lambda: self.condition(right))
            case Not(of=of):
                return self.negation(self.condition(of))
            case Member(of=of, values=values):
                return self.member(self.value(of), values)
            case _:
                return self.truth(self.value(node))

    def value(self, node: Node) -> Value:
        """Return the value of a tree."""
        match node:
            case Name(name=name):
                return self.parameter(name)
            case Literal(value=value):
                return self.literal(value)
            case Operation(operator=operator, operands=operands):
                return self.operation(operator, [self.value(operand) for operand in operands])
            case Rank(of=of, order=order):
                return self.rank(self.value(of), order)
            case _:
                raise TypeError(f"{node!r} has no value")
