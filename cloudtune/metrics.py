"""Finding metrics in what a trial prints, the same way wherever it runs."""

import re
from collections.abc import Mapping, Sequence

from cloudtune.job import Objective

_NUMBER = r"[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|nan|inf(?:inity)?)"


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
