"""Masking of passwords in addresses of targets."""

import re
from urllib.parse import unquote

from cloudtune.store.secrets import MASK

_PASSWORD = re.compile(r"(?<=://)(?P<user>[^/?#:]*):(?P<password>[^/?#]*)(?=@)")
_SETTING = re.compile(
    r"(?<=[?&])(?P<name>[^=&#]*(?:pass|pwd|secret|token|key)[^=&#]*)=(?P<value>[^&#]*)", re.IGNORECASE
)


def masked_address(address: str) -> str:
    """Return the address with its password, and the values of query settings that sound like secrets, masked."""
    shown = _PASSWORD.sub(rf"\g<user>:{MASK}", address)
    return _SETTING.sub(rf"\g<name>={MASK}", shown)


def without_secrets(text: str, address: str) -> str:
    """Return a text in which the secrets of an address are masked, also URL-decoded."""
    found = [match["password"] for match in _PASSWORD.finditer(address)]
    found += [match["value"] for match in _SETTING.finditer(address)]
    for secret in sorted({form for each in found for form in (each, unquote(each)) if form}, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text
