"""Finding metrics in what a trial prints, the same way wherever it runs."""

import math
import re
from collections.abc import Mapping, Sequence

from cloudtune.job import Objective

_NUMBER = r"[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|nan|inf(?:inity)?)"

_STEP = re.compile(r"step (\d+): ")
"""How `cloudtune.trial` begins a line with a report where it has no better way to tell it."""


def metric_patterns(objectives: Sequence[Objective], metrics: Mapping[str, str]) -> dict[str, re.Pattern[str]]:
    """How each metric is found in a line of output: its own regex, or ``name=number`` and ``name: number``."""
    patterns = {objective.metric: objective.regex or _default_pattern(objective.metric) for objective in objectives}
    return {name: re.compile(regex) for name, regex in {**patterns, **metrics}.items()}


def _default_pattern(metric: str) -> str:
    return rf"(?i:(?<![\w.-])[\"']?{re.escape(metric)}[\"']?\s*[=:]\s*({_NUMBER})(?![\w]))"


_PLAIN_NUMBER = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?(?:[nN][aA][nN]|[iI]nf(?:inity)?)"


def plain_patterns(objectives: Sequence[Objective], metrics: Mapping[str, str]) -> dict[str, str]:
    """The same for a service that reads the output itself: regular expressions that any engine understands."""
    patterns = {objective.metric: objective.regex or _plain_pattern(objective.metric) for objective in objectives}
    return {**patterns, **metrics}


def _plain_pattern(metric: str) -> str:
    return rf"(?:^|[^A-Za-z0-9_.-])[\"']?{_escaped(metric)}[\"']?\s*[=:]\s*({_PLAIN_NUMBER})"


def _escaped(text: str) -> str:
    return re.sub(r"([^\w\s/:-])", r"\\\1", text)


class PrintedMetrics:
    """The metrics in the lines of one trial, as they come.

    Args:
        patterns: by the metrics' names; see `metric_patterns`.
    """

    def __init__(self, patterns: Mapping[str, re.Pattern[str]]) -> None:
        self._patterns = dict(patterns)
        self._seen: dict[str, int] = {}

    @property
    def exhausted(self) -> bool:
        """Whether there is nothing left to look for."""
        return not self._patterns

    def ignore(self, name: str) -> None:
        """Looks no more for a metric that the trial reports itself: it would be heard twice."""
        self._patterns.pop(name, None)

    def read(self, line: str) -> tuple[int, dict[str, float]] | None:
        """The step and the metrics that a line tells; None if it tells none.

        The step is the one that the line names itself, or how often its metrics have been told.
        """
        metrics: dict[str, float] = {}
        for name, pattern in self._patterns.items():
            for match in pattern.finditer(line):
                value = _number(match)
                if value is not None:
                    metrics[name] = value
                    self._seen[name] = self._seen.get(name, 0) + 1
        if not metrics:
            return None
        step = _STEP.match(line)
        return (int(step.group(1)) if step else max(self._seen[name] for name in metrics)), metrics


def _number(match: re.Match[str]) -> float | None:
    text = next((group for group in match.groups() if group is not None), "")
    try:
        return float(text.replace(",", "")) if text else None
    except ValueError:
        return math.nan  # the pattern says that this is the metric, and it is no number
