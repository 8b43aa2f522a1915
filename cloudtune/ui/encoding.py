"""Every answer of the server as JSON: without secrets, and without numbers that JSON has not."""

import json
import math
from collections.abc import Mapping
from typing import Any

from cloudtune.errors.masking import masked_text

_dumps = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def encoded(data: object) -> str:
    """Return plain data as JSON: texts masked as in the store, numbers with 8 digits, null for those that are not finite."""
    return _dumps(_clean(data))


def _clean(data: Any) -> Any:  # plain data
    kind = type(data)
    if kind is float:
        return float(f"{data:.8g}") if math.isfinite(data) else None
    if kind is int or kind is bool or data is None:
        return data
    if isinstance(data, str):
        return masked_text(data)
    if isinstance(data, Mapping):
        return {masked_text(str(key)): _clean(value) for key, value in data.items()}
    return [_clean(item) for item in data] if isinstance(data, list | tuple) else data
