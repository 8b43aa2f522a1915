"""Metrics in a training job's output, found by its MetricDefinitions."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_NAMED_GROUP = re.compile(r"(?<!\\)\(\?<(?=[A-Za-z])")


class MetricFinder:
    """Looks for metrics in lines, as "Use Amazon CloudWatch Metrics to Monitor and Analyze Training Jobs" says:
    the first group of a metric's regex is its value.

    Args:
        definitions: with ``Name`` and ``Regex`` (MetricDefinition of the service); one name may occur twice.

    Attributes:
        problems: one sentence for each regex that cannot be used; such a metric is never found.
    """

    def __init__(self, definitions: Sequence[Mapping[str, Any]]) -> None:
        self.problems: list[str] = []
        self._patterns: list[tuple[str, re.Pattern[str]]] = []
        for definition in definitions:
            try:
                self._patterns.append((definition["Name"], compile_regex(definition["Regex"])))
            except re.error as error:
                self.problems.append(f"the regex of the metric {definition['Name']!r} is not valid: {error}")

    def find(self, line: str) -> Iterator[tuple[str, float]]:
        """The names and values in a line, in the order of the definitions; nan and infinities are values, too."""
        for name, pattern in self._patterns:
            for match in pattern.finditer(line):
                value = _number(match)
                if value is not None:
                    yield name, value


def compile_regex(regex: str) -> re.Pattern[str]:
    """A pattern from a regex as the service (Java) knows it: a named group is ``(?<name>…)`` there.

    Raises:
        re.error: it is no regex, or uses what only Java knows.
    """
    return re.compile(_NAMED_GROUP.sub("(?P<", regex))


def _number(match: re.Match[str]) -> float | None:
    text = match.group(1) if match.re.groups else match.group()
    try:
        return float(text or "")
    except ValueError:
        return None  # what the group caught is no number: the service drops it, too
