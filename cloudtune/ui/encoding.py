"""Every answer of the server as JSON: without secrets, and without numbers that JSON has not."""

import json

from cloudtune.errors.masking import masked_text
from cloudtune.results.json_data import json_data, rounded

_dumps = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def encoded(data: object) -> str:
    """Return plain data as JSON: texts masked as in the store, numbers with 8 digits, null for those that are not finite."""
    return _dumps(json_data(data, number=rounded, text=masked_text))
