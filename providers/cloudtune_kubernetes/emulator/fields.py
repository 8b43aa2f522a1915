"""The environment of containers: variables, references, the downward API, and ``$(NAME)`` in commands."""

import re
from collections.abc import Mapping, Sequence
from decimal import ROUND_UP
from typing import Any

from cloudtune_kubernetes.emulator.quantities import number

_KEYED = re.compile(r"metadata\.(labels|annotations)\['(.*)'\]")
_REFERENCE = re.compile(r"\$(?:\$\(|\(([A-Za-z0-9_.-]+)\))")


def field_of(pod: Mapping[str, Any], path: str) -> str:
    """Return a field of a pod as the downward API shows it; "" for none."""
    if found := _KEYED.fullmatch(path):
        return str((pod["metadata"].get(found[1]) or {}).get(found[2], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        held = pod["metadata"].get(path.partition(".")[2]) or {}
        return "\n".join(f'{name}="{value}"' for name, value in sorted(held.items()))
    value: Any = pod
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return "" if value is None else str(value)


def resource_of(pod: Mapping[str, Any], container: str, reference: Mapping[str, Any]) -> str:
    """Return a container's limit or request, in units of the reference's divisor, rounded up; "0" for none."""
    spec = next(each for each in pod["spec"]["containers"] if container in ("", each["name"]))
    side, _, name = reference["resource"].partition(".")
    held = (spec.get("resources") or {}).get(side) or {}
    divisor = number(reference.get("divisor") or "1") or number("1")
    return str(int((number(held.get(name, "0")) / divisor).to_integral_value(ROUND_UP)))


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """Return a text with each ``$(NAME)`` of a known variable replaced; ``$$(NAME)`` stands for ``$(NAME)`` itself."""

    def replacement(found: "re.Match[str]") -> str:
        if found[1] is None:
            return "$("
        return variables.get(found[1], found[0])

    return _REFERENCE.sub(replacement, text)


def all_expanded(words: Sequence[str], variables: Mapping[str, str]) -> list[str]:
    """Return words with their variables replaced."""
    return [expanded(word, variables) for word in words]
