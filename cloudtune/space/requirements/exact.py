"""Evaluate a requirement for one trial, in decimals: 0.1 + 0.2 is 0.3 here, as in the spec's own steps."""

import decimal
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from cloudtune.space.parameters import Scalar, same_scalar
from cloudtune.space.requirements.algebra import Algebra
from cloudtune.space.requirements.nodes import Node

_DIGITS = 34
_LARGEST = 308
_FAILURES = (decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow)
_CONTEXT = decimal.Context(
    prec=_DIGITS, Emax=_LARGEST, Emin=-_LARGEST, rounding=decimal.ROUND_HALF_EVEN, traps=list(_FAILURES)
)
"""Fixes what an operation costs and how large a number becomes, whatever the text asks for."""

_COMPARED = decimal.Context(prec=25, Emax=_LARGEST, Emin=-_LARGEST, traps=[])
"""Numbers are compared in so many digits, so that x / 3 * 3 equals x."""

_ROUNDED = decimal.Context(prec=30, Emax=_LARGEST, Emin=-_LARGEST, traps=list(_FAILURES))
"""Rounds logarithms, so that log2(8) is 3."""

_ONE, _TWO = Decimal(1), Decimal(2)

Value = Decimal | str | bool | None


class Absent(Exception):  # ends an evaluation, and is no error
    """A parameter that is needed does not exist in the trial."""


class Undefined(Exception):  # ends an evaluation, and is no error
    """A part has no value."""


def number(value: float) -> Decimal:
    """Return a number of the spec as the decimal that it is written as."""
    return Decimal(value) if isinstance(value, int) else Decimal(repr(float(value)))


class Exact(Algebra[Value, bool]):
    """Evaluates for one trial.

    Args:
        values: its parameters.
    """

    def __init__(self, values: Mapping[str, Scalar]) -> None:
        self._values = values

    def holds(self, node: Node) -> bool:
        """Return whether a requirement holds: also where it needs a parameter that the trial has not."""
        try:
            return self.condition(node)
        except Absent:
            return True
        except Undefined:
            return False

    def literal(self, value: Scalar) -> Value:
        return number(value) if isinstance(value, int | float) and not isinstance(value, bool) else value

    def parameter(self, name: str) -> Value:
        if name not in self._values:
            raise Absent
        return self.literal(self._values[name])

    def rank(self, value: Value, order: Sequence[Scalar]) -> Value:
        if value not in order:
            raise Undefined
        return Decimal(order.index(value))

    def operation(self, operator: str, operands: Sequence[Value]) -> Value:
        numbers = [operand for operand in operands if isinstance(operand, Decimal)]
        if len(numbers) < len(operands):
            raise Undefined
        try:
            found = _OPERATIONS[operator](*numbers)
        except _FAILURES:
            raise Undefined from None
        if not found.is_finite():  # zero to a negative power
            raise Undefined
        return found

    def comparison(self, operator: str, left: Value, right: Value) -> bool:
        if operator in ("==", "!="):
            return _same(left, right) == (operator == "==")
        if not isinstance(left, Decimal) or not isinstance(right, Decimal):
            raise Undefined
        return _ORDERS[operator](_COMPARED.plus(left), _COMPARED.plus(right))

    def member(self, value: Value, values: Sequence[Scalar]) -> bool:
        return any(_same(value, self.literal(each)) for each in values)

    def truth(self, value: Value) -> bool:
        if not isinstance(value, bool):
            raise Undefined
        return value

    def negation(self, truth: bool) -> bool:  # of an algebra
        return not truth

    def both(self, left: bool, right: Callable[[], bool]) -> bool:
        return left and right()

    def either(self, left: bool, right: Callable[[], bool]) -> bool:
        return left or right()


def _same(left: Value, right: Value) -> bool:
    if isinstance(left, Decimal) and isinstance(right, Decimal):
        return _COMPARED.plus(left) == _COMPARED.plus(right)
    return not isinstance(left, Decimal) and not isinstance(right, Decimal) and same_scalar(left, right)


_ORDERS: dict[str, Callable[[Decimal, Decimal], bool]] = {
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}


def _floor_division(left: Decimal, right: Decimal) -> tuple[Decimal, Decimal]:
    """Return the quotient rounded down, and the remainder, which has the sign of the divisor as in Python."""
    quotient, rest = _CONTEXT.divmod(left, right)
    if rest and (rest < 0) != (right < 0):
        return _CONTEXT.subtract(quotient, _ONE), _CONTEXT.add(rest, right)
    return quotient, rest


def _power(base: Decimal, exponent: Decimal) -> Decimal:
    return _ONE if exponent == 0 else _CONTEXT.power(base, exponent)  # 0 ** 0 is 1, as in Python


def _logarithm(value: Decimal, base: Decimal | None = None) -> Decimal:
    if value <= 0:
        raise decimal.InvalidOperation
    found = _CONTEXT.ln(value)
    return found if base is None else _ROUNDED.divide(found, _CONTEXT.ln(base))


def _rounded(rounding: str) -> Callable[[Decimal], Decimal]:
    return lambda value: _CONTEXT.plus(value.to_integral_value(rounding=rounding))


_OPERATIONS: dict[str, Callable[..., Decimal]] = {
    "+": _CONTEXT.add,
    "-": _CONTEXT.subtract,
    "*": _CONTEXT.multiply,
    "/": _CONTEXT.divide,
    "//": lambda left, right: _floor_division(left, right)[0],
    "%": lambda left, right: _floor_division(left, right)[1],
    "**": _power,
    "neg": _CONTEXT.minus,
    "abs": _CONTEXT.abs,
    "min": min,
    "max": max,
    "floor": _rounded(decimal.ROUND_FLOOR),
    "ceil": _rounded(decimal.ROUND_CEILING),
    "sqrt": _CONTEXT.sqrt,
    "exp": _CONTEXT.exp,
    "log": _logarithm,
    "log2": lambda value: _logarithm(value, _TWO),
    "log10": lambda value: _CONTEXT.log10(value) if value > 0 else _logarithm(value),
}
