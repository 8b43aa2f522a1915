"""Answers as shapes: what can be compared of a recorded answer and of ours when ids, times and names differ."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z\Z")
_ARN = re.compile(r"arn:[^:]*:([a-z]+):[^:]*:\d*:([a-z-]+)[/:].*\Z")
_NUMBERS = re.compile(r"(InSeconds|Value|Count(er)?s?)\Z")
_FREE = {"NextToken": "<token>", "TrainingImage": None, "SecondaryStatus": "<secondary status>"}


def shape(value: Any, name: str = "") -> Any:
    """A value without what differs from call to call; null members are none, and metrics are their names."""
    if isinstance(value, Mapping):
        if value.get("__class__") == "datetime":  # as cloud-custodian's recorder writes one
            return "<time>"
        if name == "TunedHyperParameters":
            return "<values>"
        numbers = name.endswith("Counters")
        return {
            member: "<number>" if numbers else shape(each, member)
            for member, each in value.items()
            if each is not None and member != "ResponseMetadata"
        }
    if isinstance(value, list | tuple):
        if name == "MetricDefinitions":
            return [each if isinstance(each, str) else each["Name"] for each in value]
        return [shape(each, name) for each in value]
    return _plain(value, name)


def _plain(value: Any, name: str) -> Any:
    if isinstance(value, datetime) or (isinstance(value, str) and _TIME.match(value)):
        return "<time>"
    if name in _FREE:
        return _FREE[name] or value
    if name.endswith("JobName") or name == "ReusedByJob":
        return "<name>"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "<number>" if _NUMBERS.search(name) and name not in _SAID else value
    if isinstance(value, str) and (arn := _ARN.match(value)):
        return f"<arn {arn.group(1)} {arn.group(2)}>"
    if isinstance(value, str) and value.startswith("s3://"):
        return "<s3>"
    return value


_SAID = ("MaxRuntimeInSeconds", "MaxWaitTimeInSeconds", "InstanceCount", "KeepAlivePeriodInSeconds")
"""Numbers of a request, which come back as they are."""


def differences(recorded: Any, ours: Any, path: str = "") -> Iterator[str]:
    """Where two shapes differ: ``member: what``, one for each place."""
    if isinstance(recorded, Mapping) and isinstance(ours, Mapping):
        for name in [*recorded, *(name for name in ours if name not in recorded)]:
            place = f"{path}.{name}" if path else name
            if name not in ours:
                yield f"{place}: missing"
            elif name not in recorded:
                yield f"{place}: added"
            else:
                yield from differences(recorded[name], ours[name], place)
    elif isinstance(recorded, list) and isinstance(ours, list) and len(recorded) == len(ours):
        for before, now in zip(recorded, ours, strict=True):
            yield from differences(before, now, f"{path}[]")
    elif recorded != ours:
        yield f"{path}: {ours!r} instead of {recorded!r}"
