"""What the repetitions of a run's candidates say: means and spreads, and which candidate is the best by them.

The first value of a candidate is left out of its mean: it was picked for that value, so that the value is too good on
average (Cawley & Talbot 2010, JMLR 11). Repetitions have other seeds and were picked for nothing.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cloudtune.store.records import Trial, TrialState


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What the repetitions of one candidate say.

    Attributes:
        number: the candidate's.
        repeats: the numbers of its repetitions.
        completed: how many of them completed.
        means: the mean of each metric that all completed repetitions have, by name.
        spreads: the standard deviation (n - 1) of each of these; without any for fewer than two repetitions.
        final: whether all repetitions have ended, and none was cancelled.
    """

    number: int
    repeats: tuple[int, ...]
    completed: int
    means: Mapping[str, float]
    spreads: Mapping[str, float]
    final: bool

    def to_data(self) -> dict[str, object]:
        """Return it as plain data for JSON."""
        return {
            "trial": self.number,
            "repeats": list(self.repeats),
            "completed": self.completed,
            "mean": dict(self.means),
            "spread": dict(self.spreads),
            "final": self.final,
        }


def confirmed(trials: Iterable[Trial]) -> dict[int, Confirmed]:
    """Return what the repetitions say, by the candidate's number; empty where there are none."""
    repeats: dict[int, list[Trial]] = {}
    for trial in trials:
        if trial.repeat_of is not None:
            repeats.setdefault(trial.repeat_of, []).append(trial)
    return {number: _confirmed(number, found) for number, found in sorted(repeats.items())}


def _confirmed(number: int, repeats: Sequence[Trial]) -> Confirmed:
    from statistics import fmean, stdev  # noqa: PLC0415  # loads fractions and decimals, and few runs are confirmed

    done = [trial for trial in repeats if trial.state is TrialState.COMPLETED]
    names = [name for name in (done[0].metrics if done else ()) if all(_finite(trial, name) for trial in done)]
    values = {name: [trial.metrics[name] for trial in done] for name in names}
    return Confirmed(
        number,
        tuple(trial.number for trial in repeats),
        len(done),
        {name: fmean(each) for name, each in values.items()},
        {name: stdev(each) for name, each in values.items() if len(each) > 1},
        all(trial.state.ended and trial.state is not TrialState.CANCELLED for trial in repeats),
    )


def _finite(trial: Trial, name: str) -> bool:
    return math.isfinite(trial.metrics.get(name, math.nan))


def settled(trials: Iterable[Trial]) -> dict[int, Confirmed]:
    """Return the candidates that can be judged by their means; empty until all repetitions of the run have ended.

    It is also empty where a repetition was cancelled, since the candidates would be judged by unequal numbers of them then.
    Candidates of which no repetition completed are left out.
    """
    found = confirmed(trials)
    if not all(each.final for each in found.values()):
        return {}
    return {number: each for number, each in found.items() if each.completed}


def expected_metrics(trial: Trial, found: Mapping[int, Confirmed]) -> Mapping[str, float]:
    """Return the metrics by which a trial is judged: the means of its repetitions where it has them, else its own."""
    known = found.get(trial.number)
    return trial.metrics if known is None else {**trial.metrics, **known.means}


def said(known: Confirmed, metric: str) -> str:
    """Return the mean of a metric with its spread and the number of repetitions, as text: ``0.91 ± 0.012 (3 repetitions)``."""
    if metric not in known.means:
        return f"no value ({_counted(known)})"
    spread = f" ± {known.spreads[metric]:.2g}" if metric in known.spreads else ""
    return f"{known.means[metric]:.6g}{spread} ({_counted(known)})"


def _counted(known: Confirmed) -> str:
    all_of_them = len(known.repeats)
    some = f"{known.completed} of " if known.completed < all_of_them else ""
    return f"{some}{all_of_them} repetition{'' if all_of_them == 1 else 's'}"
