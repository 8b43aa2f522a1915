"""What trials report: metrics found in lines of output or of a file, and what is kept of them (pkg/metricscollector/v1beta1)."""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

DEFAULT_FILTER = r"([\w|-]+)\s*=\s*([+-]?\d*(\.\d+)?([Ee][+-]?\d+)?)"
UNAVAILABLE = "unavailable"


def reported(lines: Iterable[str], names: Sequence[str], collector: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the metrics in lines, by name.

    Args:
        lines: of output, or of the file.
        names: of the metrics that count.
        collector: the metricsCollectorSpec.
    """
    source = collector.get("source") or {}
    if (source.get("fileSystemPath") or {}).get("format") == "JSON":
        yield from _of_json(lines, names)
        return
    filters = [re.compile(each) for each in (source.get("filter") or {}).get("metricsFormat") or [DEFAULT_FILTER]]
    for line in lines:
        for each in filters:
            for found in each.findall(line):
                name, text = found[0].strip(), found[1].strip()
                if name in names and (value := _number(text)) is not None:
                    yield name, value


def _of_json(lines: Iterable[str], names: Sequence[str]) -> Iterator[tuple[str, float]]:
    for line in lines:
        try:
            data = json.loads(line)
        except ValueError:
            continue  # lines of other things are none of metrics
        if isinstance(data, dict):
            for name in names:
                if isinstance(data.get(name), str) and (value := _number(data[name])) is not None:
                    yield name, value


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def observation(found: Iterable[tuple[str, float]], names: Sequence[str]) -> dict[str, Any]:
    """Return the Observation of a trial."""
    held: dict[str, list[float]] = {name: [] for name in names}
    for name, value in found:
        held[name].append(value)
    metrics = []
    for name, values in held.items():
        known = [value for value in values if not math.isnan(value)]
        if known:
            metrics.append(
                {"name": name, "min": _text(min(known)), "max": _text(max(known)), "latest": _text(values[-1])}
            )
        else:
            metrics.append(dict.fromkeys(("min", "max", "latest"), UNAVAILABLE) | {"name": name})
    return {"metrics": metrics}


def _text(value: float) -> str:
    return repr(value)


def value_of(observed: Mapping[str, Any] | None, objective: Mapping[str, Any]) -> float | None:
    """Return the objective's value by its strategy (min, max or latest); None if there is none."""
    name = objective["objectiveMetricName"]
    strategy = next(
        (each["value"] for each in objective.get("metricStrategies") or () if each["name"] == name), "latest"
    )
    for each in (observed or {}).get("metrics") or ():
        if each["name"] == name and each[strategy] != UNAVAILABLE:
            return float(each[strategy])
    return None
