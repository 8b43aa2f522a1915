"""Metrics in a training job's output, found by its MetricDefinitions."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cloudtune.trial.matching import SEARCH
from cloudtune.trial.printed_metrics import number_in, parts_of

_NAMED_GROUP = re.compile(r"(?<!\\)\(\?<(?=[A-Za-z])")
_SLOW_LINES = 3  # after so many a regex is given up


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
        self._names = [definition["Name"] for definition in definitions]
        self._regexes: dict[str, str] = {}  # by the numbers of the definitions
        self._slow: dict[str, int] = {}
        for number, definition in enumerate(definitions):
            try:
                self._regexes[str(number)] = compile_regex(definition["Regex"]).pattern
            except (re.error, RecursionError, OverflowError) as error:
                self.problems.append(f"the regex of the metric {definition['Name']!r} is not valid: {error}")

    def find(self, *lines: str) -> Iterator[tuple[str, float]]:
        """Yield the names and values in lines, in each by the order of the definitions; nan and infinities are values, too."""
        if not self._regexes:
            return
        found, slow = SEARCH.find(self._regexes, [part for line in lines for part in parts_of(line)])
        for number in slow:
            self._slow[number] = self._slow.get(number, 0) + 1
            if self._slow[number] >= _SLOW_LINES:
                self._regexes.pop(number, None)
        for _, number, text in sorted(found, key=lambda each: (each[0], int(each[1]))):
            value = number_in(text)
            if value is not None:  # what else the group caught the service drops, too
                yield self._names[int(number)], value


def compile_regex(regex: str) -> re.Pattern[str]:
    """Return a pattern from a regex as the service (Java) knows it: a named group is ``(?<name>…)`` there.

    Raises:
        re.error: it is no regex, or uses what only Java knows.
    """
    return re.compile(_NAMED_GROUP.sub("(?P<", regex))
