"""Policies of IAM: whether one permits an action.

"Policy evaluation logic" and "IAM JSON policy elements reference" of IAM's user guide, as far as identity-based policies
go: statements with their conditions on texts; an explicit deny counts before every allow.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from cloudtune.emulation.authority import Ask

_OPERATORS: Mapping[str, tuple[bool, bool]] = {
    "StringEquals": (False, True),
    "StringNotEquals": (False, False),
    "StringLike": (True, True),
    "StringNotLike": (True, False),
    "ArnEquals": (True, True),
    "ArnLike": (True, True),
    "ArnNotEquals": (True, False),
    "ArnNotLike": (True, False),
}
"""Whether each operator takes wildcards, and whether it holds for a value that matches."""

_ELEMENTS = frozenset({"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"})


class IamPolicy:
    """An identity-based policy.

    Args:
        document: with ``Version`` and ``Statement``.

    Raises:
        ValueError: it is no such document.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        if not isinstance(document, Mapping) or "Statement" not in document:
            raise ValueError("an IAM policy has a Version and a Statement")
        given = document["Statement"]
        self._statements = [_Statement(each) for each in (given if isinstance(given, list) else [given])]

    def allows(self, ask: Ask) -> bool:
        """Return whether a statement allows the action and none denies it."""
        effects = {each.effect for each in self._statements if each.applies(ask)}
        return effects == {"Allow"}


class _Statement:
    """One statement of a policy."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        unknown = sorted(set(given) - _ELEMENTS)
        if unknown or given.get("Effect") not in ("Allow", "Deny"):
            raise ValueError(f"a statement of an IAM policy cannot have {', '.join(unknown) or given.get('Effect')}")
        self.effect: str = given["Effect"]
        self._actions = _Matching(given, "Action", ignore_case=True)
        self._resources = _Matching(given, "Resource", ignore_case=False)
        self._conditions = given.get("Condition") or {}
        for operator in self._conditions:
            if operator.removesuffix("IfExists") not in _OPERATORS:
                raise ValueError(f"the emulator does not know the condition {operator}")

    def applies(self, ask: Ask) -> bool:
        """Return whether the statement speaks of an action on a resource."""
        if not (self._actions.matches(ask.action) and self._resources.matches(ask.resource)):
            return False
        return all(
            _holds(operator, key, _many(values), dict(ask.context))
            for operator, keys in self._conditions.items()
            for key, values in keys.items()
        )


class _Matching:
    """The element ``Action`` or ``Resource`` of a statement, or its opposite."""

    def __init__(self, given: Mapping[str, Any], element: str, *, ignore_case: bool) -> None:
        self._opposite = f"Not{element}" in given
        wanted = given.get(f"Not{element}" if self._opposite else element)
        if not wanted:
            raise ValueError(f"a statement of an IAM policy has no {element}")
        self._patterns, self._ignore_case = _many(wanted), ignore_case

    def matches(self, text: str) -> bool:
        found = any(_pattern(each, self._ignore_case).fullmatch(text) for each in self._patterns)
        return found is not self._opposite


def _holds(operator: str, key: str, values: Sequence[str], context: Mapping[str, str]) -> bool:
    wildcards, positive = _OPERATORS[operator.removesuffix("IfExists")]
    given = next((value for name, value in context.items() if name.lower() == key.lower()), None)
    if given is None:
        return operator.endswith("IfExists") or not positive
    if wildcards:
        return any(_pattern(each, False).fullmatch(given) for each in values) is positive
    return (given in values) is positive


def _many(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value


@cache
def _pattern(text: str, ignore_case: bool) -> re.Pattern[str]:
    """Return the regex of a text with the wildcards ``*`` and ``?``."""
    parts = {"*": ".*", "?": "."}
    regex = "".join(parts.get(character, re.escape(character)) for character in text)
    return re.compile(regex, re.DOTALL | (re.IGNORECASE if ignore_case else 0))
