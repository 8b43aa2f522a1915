"""Conversion between Katib's filters for metrics in a trial's output and a job's regexes.

Katib's filters are regexes of Go with two groups: the metric's name and its value
(pkg/metricscollector/v1beta1/common/const.go). A job has one regex per metric, whose first group is the value.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from cloudtune.interop.katib.model import MetricsCollectorSpec
from cloudtune.spec.objective import Objective

NUMBER = r"[+-]?\d*(\.\d+)?([Ee][+-]?\d+)?"
DEFAULT = rf"([\w|-]+)\s*=\s*({NUMBER})"
"""Katib's default filter."""

_BEFORE, _BETWEEN = r"""(?:^|[^\w.-])["']?""", r"""["']?\s*[=:]\s*"""
_LOOKING_AROUND = re.compile(r"\(\?(?:<?[=!]|P=|\()|\\[1-9]")
"""Syntax that Go's regexes do not support: look-around, references and conditions."""


def filters_of(objective: Objective, metrics: Mapping[str, str | None]) -> tuple[list[str], list[str]]:
    """Return the filters for a job's metrics, and the names of metrics without a possible filter."""
    wanted = {objective.metric: objective.regex, **metrics}
    filters = [_default_filter(name) for name, regex in wanted.items() if regex is None]
    lost = []
    for name, regex in wanted.items():
        named = None if regex is None else _with_name(regex, name)
        if named is not None:
            filters.append(named)
        elif regex is not None:
            lost.append(name)
    return filters, lost


def _default_filter(name: str) -> str:
    """Return the filter for ``name=number`` and ``name: number``, which a job without a regex finds."""
    return f"{_BEFORE}({_escaped(name)}){_BETWEEN}({NUMBER})"


def _escaped(name: str) -> str:
    """Return a name escaped for a regex; without ``;``, at which Katib splits its list of filters."""
    return re.sub(r"([^\w\s/:;-])", r"\\\1", name).replace(";", r"\x3b")


def _with_name(regex: str, name: str) -> str | None:
    """Return the regex with a group around the metric's name, which must precede the number; None if it does not."""
    first = next((start for start, _ in _groups(regex)), len(regex))
    for written in dict.fromkeys((_escaped(name), re.escape(name), name)):
        at = regex.find(written)
        plain = regex[:at].count("[") == regex[:at].count("]")
        if at >= 0 and plain and at + len(written) <= first and not _LOOKING_AROUND.search(regex) and ";" not in regex:
            return f"{regex[:at]}({written}){regex[at + len(written) :]}"
    return None


def regex_of(filters: Sequence[str], name: str) -> str | None:
    """Return a job's regex that finds a metric as the filters do; None if no filter finds it."""
    for each in filters:
        groups = _groups(each)
        if len(groups) < 2:
            continue
        start, end = groups[0]
        inner = each[start + 1 : end - 1]
        written = _escaped(name)
        if inner in (written, re.escape(name), name):
            regex = each[:start] + inner + each[end:]
        elif _matches(inner, name):
            boundary = r"(?:^|[^\w|-])" if start == 0 else ""  # else loss is found in val_loss
            regex = each[:start] + boundary + written + each[end:]
        else:
            continue
        if _compiles(regex):
            return regex
    return None


def _groups(regex: str) -> list[tuple[int, int]]:
    """Return start and end of each capturing group, sorted by start."""
    found: list[tuple[int, int]] = []
    opened: list[tuple[int, bool]] = []
    in_class = escaped = False
    for at, char in enumerate(regex):
        if escaped or char == "\\":
            escaped = not escaped
        elif in_class:
            in_class = char != "]" or regex[at - 1] == "["
        elif char == "[":
            in_class = True
        elif char == "(":
            opened.append((at, not regex.startswith("(?", at) or regex.startswith("(?P<", at)))
        elif char == ")" and opened:
            start, captures = opened.pop()
            found += [(start, at + 1)] if captures else []
    return sorted(found)


def _matches(regex: str, text: str) -> bool:
    try:
        return re.fullmatch(regex, text) is not None
    except re.error:
        return False


def _compiles(regex: str) -> bool:
    try:
        return re.compile(regex).groups > 0
    except re.error:
        return False


def collector_of(filters: Sequence[str]) -> dict[str, Any]:
    """Return the collector that reads a trial's output by these filters."""
    return {"collector": {"kind": "StdOut"}, "source": {"filter": {"metricsFormat": list(filters)}}}


def filters_in(collector: MetricsCollectorSpec | None) -> tuple[str, ...]:
    """Return the filters of a collector; Katib's default if it has none."""
    given = collector.source.filter.metrics_format if collector and collector.source and collector.source.filter else ()
    return given or (DEFAULT,)


KINDS = {
    "File": "Katib reads metrics from a file",
    "TensorFlowEvent": "Katib reads metrics from TensorFlow's event files",
    "PrometheusMetric": "Katib asks the trial for metrics over HTTP",
    "Custom": "a container of your own collects metrics",
    "Push": "the trial pushes metrics to Katib's database",
    "None": "nothing collects metrics",
}
"""How Katib gets metrics with collectors that do not read the output, for messages."""
