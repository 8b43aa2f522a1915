"""Summarize a plan in one line: how the job's leaves are carried, where its trials run, and what they use at most."""

from collections import Counter
from dataclasses import dataclass

from pydantic import JsonValue

from cloudtune.planning.plan import Plan, Support, covers, leaves
from cloudtune.spec.job import TuningJob
from cloudtune.spec.units import format_duration


@dataclass(frozen=True, slots=True)
class Summary:
    """The numbers of a plan.

    Attributes:
        provider: the provider's name.
        mode: ``managed`` or ``driven``.
        support: how many leaves of the job are carried in each way, the best way first.
        machine: what a trial runs on; "" where the provider does not say.
        machines: number of machines of a trial.
        trials: greatest number of trials; None for no limit.
        machine_hours: greatest machine time in hours; None without a bound.
        assumption: what the bound follows from, or what would give one.
        missing: number of fields that the provider needs and the job does not give.
    """

    provider: str
    mode: str
    support: dict[str, int]
    machine: str
    machines: int
    trials: int | None
    machine_hours: float | None
    assumption: str
    missing: int = 0

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {word}" for word, count in self.support.items())
        counts += f", {self.missing} missing" if self.missing else ""
        trials = "trials" if self.trials is None else f"{self.trials} trial{'' if self.trials == 1 else 's'}"
        place = f" on {self.machines} {self.machine}" if self.machine else ""
        most = "" if self.machine_hours is None else f"at most {self.machine_hours:,.4g} machine-hours: "
        bound = f"{most}{self.assumption}"
        return f"{self.provider}, {self.mode}: {counts}; {trials}{', each' if self.trials != 1 else ''}{place}; {bound}"

    def to_data(self) -> dict[str, JsonValue]:
        """Return the summary as plain data for JSON."""
        return {
            "provider": self.provider,
            "mode": self.mode,
            "support": dict(self.support),
            "machine": self.machine,
            "machines": self.machines,
            "trials": self.trials,
            "machine_hours": self.machine_hours,
            "assumption": self.assumption,
            "missing": self.missing,
        }


def summary(job: TuningJob, plan: Plan) -> Summary:
    """Return the summary of a plan for a job."""
    given = [path for path, _ in leaves(job)]
    said = Counter(plan.support(path) for path in given)
    refused = {note.path for note in plan.notes if note.support is Support.UNSUPPORTED}
    missing = [path for path in refused if not any(covers(path, leaf) for leaf in given)]
    counts = {support.value: said[support] for support in Support if said[support]}
    trials, machines = job.most_trials, plan.machines
    hours, assumption = _bound(job, plan, trials)
    count = 1 if machines is None else machines.count
    kind = "" if machines is None else machines.kind
    return Summary(plan.provider, plan.mode, counts, kind, count, trials, hours, assumption, len(missing))


def _bound(job: TuningJob, plan: Plan, trials: int | None) -> tuple[float | None, str]:
    """Return the greatest machine time in hours (None without a bound), and what it follows from."""
    count = 1 if plan.machines is None else plan.machines.count
    own, longest = job.limits.trial_time, None if plan.machines is None else plan.machines.longest
    each = own or longest
    attempts = 1 + job.retries
    bounds: list[tuple[float, str]] = []
    if trials is not None and each is not None:
        whose = "" if own is not None else ", what a trial may take without limits.trial_time"
        again = "" if attempts == 1 else f" × {attempts} attempts"
        hours = trials * attempts * count * each.total_seconds() / 3600
        bounds.append((hours, f"{trials} trials{again} × {count} × {format_duration(each)} each{whose}"))
    if job.limits.time is not None:
        parallel = min(job.limits.parallel, trials or job.limits.parallel)
        hours = parallel * count * job.limits.time.total_seconds() / 3600
        bounds.append((hours, f"{parallel} at once × {count} × {format_duration(job.limits.time)} in all"))
    if not bounds:
        return None, "no bound on machine-hours: give limits.trial_time or limits.time"
    return min(bounds)
