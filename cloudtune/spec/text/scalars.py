"""Resolve plain scalars of YAML: the core schema of YAML 1.2.2, section 10.3.2.

So ``1e-3`` is a number and ``no``, ``on`` and ``1:30`` are texts, unlike in YAML 1.1.
"""

import re

from cloudtune.space.parameters import Scalar

MAX_DIGITS = 300
"""Most digits of a whole number; a float holds more than these."""

_WORDS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((f"{sign}.{word}" for sign in ("", "+") for word in ("inf", "Inf", "INF")), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_MAY_BE_NUMBER = frozenset("+-.0123456789")


def resolve(text: str) -> Scalar:
    """Return the value of a plain scalar: null, true or false, a number, or the text itself.

    Raises:
        ValueError: a whole number has more than `MAX_DIGITS` digits.
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _MAY_BE_NUMBER:
        return text
    if _INTEGER.fullmatch(text):
        if len(text) > MAX_DIGITS:
            raise ValueError(f"a whole number of {len(text)} digits is too long")
        return _within(int(text, {"0o": 8, "0x": 16}.get(text[:2], 10)))
    return float(text) if _FLOAT.fullmatch(text) else text


def _within(number: int) -> int:
    if abs(number) > 10**MAX_DIGITS:  # digits of 0x say more
        raise ValueError(f"a whole number above 10^{MAX_DIGITS} is too large")
    return number


_KINDS: dict[str, type] = {"bool": bool, "int": int, "null": type(None)}


def resolve_as(kind: str, text: str) -> Scalar:
    """Return the value of a scalar with a core tag: ``str``, ``null``, ``bool``, ``int`` or ``float``.

    Raises:
        ValueError: the text is not of that kind.
    """
    if kind == "str":
        return text
    value = resolve(text)
    if kind == "float" and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if type(value) is not _KINDS.get(kind):
        raise ValueError(f"the tag !!{kind} does not fit its value")
    return value
