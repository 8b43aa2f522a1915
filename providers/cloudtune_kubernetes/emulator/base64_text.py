"""Texts in base64, as Go's decoder takes them (package encoding/base64, StdEncoding)."""

import string

_LETTERS = frozenset(string.ascii_letters + string.digits + "+/")


def illegal_at(text: str) -> int | None:
    """Return the place at which Go's decoder gives a text up; None for one that it takes."""
    places = [at for at, letter in enumerate(text) if letter not in "\r\n"]
    ends = next((count for count, at in enumerate(places) if text[at] not in _LETTERS), len(places))
    part = ends % 4
    if ends == len(places):  # without padding
        return None if part == 0 else len(text) - part
    rest = places[ends:]
    if text[rest[0]] != "=" or part < 2:
        return rest[0]
    padding = 4 - part
    if padding == 2 and len(rest) == 1:
        return len(text)
    if padding == 2 and text[rest[1]] != "=":
        return rest[1] - 1
    return rest[padding] if len(rest) > padding else None
