"""How each metric of a job is found in what its trials print, the same way wherever they run.

The grammar itself, and the search, are in `cloudtune.trial`, which travels with the trials.
"""

from collections.abc import Mapping, Sequence

from cloudtune.spec.job import Objective
from cloudtune.trial.printed_metrics import metric_regex


def metric_patterns(objectives: Sequence[Objective], metrics: Mapping[str, str]) -> dict[str, str | None]:
    """The regex of each metric that has one of its own, by the metrics' names; None for `metric_regex`.

    Args:
        objectives: of the job.
        metrics: the job's further metrics, with their regexes.
    """
    return {**{objective.metric: objective.regex for objective in objectives}, **metrics}


def plain_patterns(objectives: Sequence[Objective], metrics: Mapping[str, str], most: int) -> dict[str, str]:
    """The same for a service that searches the output itself.

    Args:
        objectives: of the job.
        metrics: the job's further metrics, with their regexes.
        most: characters that the service allows a regex; one that would be longer tells capitals from small letters.
    """
    patterns = metric_patterns(objectives, metrics)
    return {name: service_regex(name, most) if regex is None else regex for name, regex in patterns.items()}


def service_regex(name: str, most: int) -> str:
    """The regex of a metric without one of its own, as it fits into so many characters where that is possible."""
    regex = metric_regex(name)
    return regex if len(regex) <= most else metric_regex(name, any_case=False)
