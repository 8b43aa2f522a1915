"""Quantities of resources, such as ``500m`` and ``1Gi`` ("Quantity", k8s.io/apimachinery/pkg/api/resource)."""

import re
from decimal import ROUND_UP, Decimal

_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E|[eE][+-]?\d+)?")
_BINARY: dict[str, int] = {name: 1024**power for power, name in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_RULE = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


def number(text: str | float) -> Decimal:
    """Return the value of a quantity.

    Raises:
        ValueError: it is none.
    """
    found = _QUANTITY.fullmatch(str(text))
    if found is None:
        raise ValueError(_RULE)
    value, unit = Decimal(found[1]), found[2] or ""
    if unit in _BINARY:
        return value * Decimal(_BINARY[unit])
    if unit in _DECIMAL:
        return value.scaleb(_DECIMAL[unit])
    return value.scaleb(int(unit[1:]))


def canonical(text: str | float) -> str:
    """Return a quantity as the API stores it: the largest unit without a fraction, at most 9 decimals.

    Raises:
        ValueError: it is none.
    """
    value = number(text).quantize(Decimal("1e-9"), ROUND_UP)
    found = _QUANTITY.fullmatch(str(text))
    assert found is not None
    unit = found[2] or ""
    if value == 0:
        return "0"
    if unit in _BINARY and value == value.to_integral_value():
        return _scaled_binary(int(value))
    exponent = unit[1:] != "" and unit not in _BINARY and unit not in _DECIMAL
    for name, power in sorted(_DECIMAL.items(), key=lambda pair: -pair[1]):
        scaled = value.scaleb(-power)
        if scaled == scaled.to_integral_value():
            return f"{int(scaled)}{f'e{power}' if exponent and power else name if not exponent else ''}"
    return str(value)


def _scaled_binary(value: int) -> str:
    for name, size in reversed(_BINARY.items()):
        if value % size == 0:
            return f"{value // size}{name}"
    return str(value)
