"""The regexes that find a job's metrics in the output of its trials, the same on every provider.

The grammar and the search are in `cloudtune.trial`, which travels with the trials.
"""

from collections.abc import Mapping, Sequence

from cloudtune.spec.constraint import Constraint
from cloudtune.spec.objective import Objective
from cloudtune.trial.printed_metrics import heard_regex, metric_regex


def metric_patterns(
    measured: Sequence[Objective | Constraint], metrics: Mapping[str, str], *, heard: bool = True
) -> dict[str, str | None]:
    """Return for each metric its own regex, or None for `metric_regex`.

    A metric with a source is found where the trial's process prints what it has heard, and nowhere else.

    Args:
        measured: objectives and constraints of the job; see `TuningJob.measured`.
        metrics: the job's further metrics, with their regexes.
        heard: whether what was heard is in the output; False where trials have a file for their reports.
    """
    printed = [each for each in measured if heard or each.source is None]
    return {
        **{each.metric: each.regex if each.source is None else heard_regex(each.metric) for each in printed},
        **metrics,
    }


def plain_patterns(measured: Sequence[Objective | Constraint], metrics: Mapping[str, str], most: int) -> dict[str, str]:
    """Return for each metric the regex for a service that searches the output itself.

    Args:
        measured: objectives and constraints of the job; see `TuningJob.measured`.
        metrics: the job's further metrics, with their regexes.
        most: greatest length of a regex on the service, in characters; see `service_regex`.
    """
    patterns = metric_patterns(measured, metrics)
    return {name: service_regex(name, most) if regex is None else regex for name, regex in patterns.items()}


def service_regex(name: str, most: int) -> str:
    """Return the regex of a metric without its own; a case-sensitive one, which is shorter, if it exceeds `most` characters."""
    regex = metric_regex(name)
    return regex if len(regex) <= most else metric_regex(name, any_case=False)
